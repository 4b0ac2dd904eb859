//! The command line as a value. What is part of the interface but not built yet
//! is listed, so that it answers clearly instead of being an unknown word.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::explain::ExplainArgs;
use super::offline_args::{NewArgs, TestArgs, ValidateArgs};
use super::plan_args::PlanArgs;
use super::reference::Reference;

/// Looks at a fleet of Kubernetes clusters and acts on it.
#[derive(Debug, Parser)]
#[command(name = "rimward", disable_version_flag = true, max_term_width = 110)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The hub: unix:PATH of its admin socket [default: unix:/var/lib/rimward-hub/admin.sock]
    #[arg(long, global = true, env = "RIMWARD_HUB", value_name = "unix:PATH")]
    pub hub: Option<String>,
    /// Named hub of ~/.config/rimward/config.yaml (not built yet)
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// File with a bearer token (not built yet)
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Longest time to wait for an answer: 30s, 5m, 1h
    #[arg(long, global = true, default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// How to print
    #[arg(short, long, global = true, value_enum)]
    pub output: Option<Output>,
    /// Go on and print what changes
    #[arg(short, long, global = true)]
    pub watch: bool,
    /// Colour of states in tables
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub color: Color,
    /// Nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Each request on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Do not ask
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Only of this tenant; of `new app`: whose App it will be
    #[arg(short, long, global = true)]
    pub tenant: Option<String>,
    /// Only of this App: NAME or TENANT/NAME
    #[arg(short, long, global = true)]
    pub app: Option<String>,
    /// Only of, or on, this cluster
    #[arg(short, long, global = true)]
    pub cluster: Option<String>,
    /// Only clusters with these labels: a=b,c!=d,e,!f
    #[arg(short, long, global = true)]
    pub labels: Option<String>,
    /// Only in this state
    #[arg(long, global = true)]
    pub state: Option<String>,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For people with a wide terminal.
    Wide,
    /// The API's answer.
    Json,
    /// The API's answer, as YAML.
    Yaml,
    /// References, one a line.
    Name,
    /// For people, in sentences.
    Text,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for test reports.
    Junit,
    /// A comment on a pull request.
    Markdown,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Enrol a cluster: make its token, and apply the spoke with --kube-context
    Enroll(EnrollArgs),
    /// List things
    Get(GetArgs),
    /// Everything known of one thing: cluster/C, app/T/A, tenant/T, source/T/S, source/fleet
    Describe {
        /// What.
        reference: Reference,
    },
    /// Wait until something is Ready
    Wait(WaitArgs),
    /// Look at Git now: source/T/S, app/T/A, tenant/T, source/fleet (everything)
    Reconcile(ReconcileArgs),
    /// Approve a hold, by its id or digest (rimward get holds)
    Approve(ApproveArgs),
    /// Is all well?
    Status,
    /// Version of this command
    Version,
    /// Completion script
    Completion {
        /// Of which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Start a fleet, a tenant or an App: writes its first files
    New(NewArgs),
    /// Check the files of a fleet repo or of a tenant's; needs no hub
    Validate(ValidateArgs),
    /// Run the Tests of a fleet repo; needs no hub
    Test(TestArgs),
    /// What a change would do to every cluster, before it is made
    Plan(PlanArgs),
    /// Install the hub or a spoke (not built yet; see enroll)
    Install(Rest),
    /// Log in to a hub (not built yet)
    Login(Rest),
    /// Why an App, or an object, is on a cluster, or why it is not
    Explain(ExplainArgs),
    /// What ran when (not built yet)
    History(Rest),
    /// Reject a rollout or a hold (not built yet)
    Reject(Rest),
    /// Go back to an older revision (not built yet)
    Rollback(Rest),
    /// Freeze something (not built yet)
    Pause(Rest),
    /// Unfreeze something (not built yet)
    Resume(Rest),
    /// Cut off a cluster (not built yet)
    Revoke(Rest),
    /// Forget a cluster (not built yet)
    Remove(Rest),
    /// Change keys (not built yet)
    Rotate(Rest),
    /// Back up what cannot be rebuilt (not built yet)
    Backup(Rest),
    /// Move on after a restore (not built yet)
    Recover(Rest),
    /// Collect what a bug report needs (not built yet)
    Bugreport(Rest),
}

/// Whatever follows a command that is not built yet.
#[derive(Debug, Args)]
pub struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// `rimward enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// The cluster's name in the fleet.
    #[arg(value_name = "CLUSTER")]
    pub name: String,
    /// Apply the spoke to the cluster of this kubeconfig context
    #[arg(long, conflicts_with = "token_only")]
    pub kube_context: Option<String>,
    /// Print what would be applied, token included, instead of applying it
    #[arg(long, conflicts_with_all = ["token_only", "kube_context"])]
    pub print: bool,
    /// Print the token alone
    #[arg(long)]
    pub token_only: bool,
    /// How long the token is good: 30m, 1h
    #[arg(long, value_parser = duration_text)]
    pub ttl: Option<String>,
    /// Replace the cluster that is enrolled under this name
    #[arg(long)]
    pub replace: bool,
    /// Wait this long for the spoke to connect [default: 2m with --kube-context]
    #[arg(long, value_parser = duration, num_args = 0..=1, require_equals = true, default_missing_value = "2m")]
    pub wait: Option<Duration>,
    /// Where the spoke dials, HOST:PORT [default: the hub's own address]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// The spoke's container image
    #[arg(long)]
    pub image: Option<String>,
}

/// `rimward get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Of which kind
    #[arg(value_enum)]
    pub kind: Kind,
    /// Only these: NAME, or TENANT/NAME of an App or source
    pub names: Vec<String>,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Clusters
    #[value(alias = "cluster")]
    Clusters,
    /// Apps
    #[value(alias = "app")]
    Apps,
    /// Tenants
    #[value(alias = "tenant")]
    Tenants,
    /// Sources, the fleet repo included
    #[value(alias = "source")]
    Sources,
    /// What changed on clusters behind Git's back
    Drift,
    /// What happened
    #[value(alias = "event")]
    Events,
    /// What waits for an approval
    #[value(alias = "hold")]
    Holds,
    /// Not built yet
    Rollouts,
    /// Not built yet
    Pauses,
    /// Not built yet
    Tokens,
    /// Not built yet
    Audit,
}

/// `rimward wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// What: cluster/C, app/T/A, tenant/T, source/T/S, source/fleet.
    pub reference: Reference,
    /// For which state
    #[arg(id = "for", long = "for", default_value = "Ready", value_parser = state, value_name = "STATE")]
    pub wanted: String,
    /// That commit or a newer one must have been resolved; at least 7 hex digits
    #[arg(long, value_name = "SHA", value_parser = commit)]
    pub commit: Option<String>,
}

/// `rimward reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// What.
    pub reference: Reference,
    /// Wait until it is Ready; for a source, its Apps too
    #[arg(long)]
    pub wait: bool,
}

/// `rimward approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The hold: its id, or its digest, or at least 8 digits of that.
    pub hold: String,
    /// Why, for the history
    #[arg(long, default_value = "")]
    pub reason: String,
    /// A rollout's stage (not built yet)
    #[arg(long)]
    pub stage: Option<String>,
}

/// `30s`, `5m`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a duration like 30s, 5m, 2h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(refused)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(refused()),
    };
    let number: u32 = number.parse().map_err(|_| refused())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

fn duration_text(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

fn state(text: &str) -> Result<String, String> {
    use rimward_proto::report::State;
    let names = || State::ALL.map(State::as_str).join(", ");
    State::parse(text).map(|state| state.as_str().to_owned()).ok_or_else(|| format!("one of {}", names()))
}

fn commit(text: &str) -> Result<String, String> {
    let ok = (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if ok { Ok(text.to_ascii_lowercase()) } else { Err("a commit is 7 to 64 hex digits".to_owned()) }
}

impl Command {
    /// What it can print, the default first.
    pub fn formats(&self) -> &'static [Output] {
        use Output::{Json, Junit, Markdown, Name, Sarif, Table, Text, Wide, Yaml};
        match self {
            Command::Get(_) | Command::Describe { .. } | Command::Status | Command::Version => {
                &[Table, Wide, Json, Yaml, Name]
            }
            Command::Validate(_) => &[Text, Json, Sarif],
            Command::Test(_) => &[Text, Json, Junit],
            Command::Plan(_) => &[Text, Json, Yaml, Markdown],
            Command::Explain(_) => &[Text, Json, Yaml],
            _ => &[],
        }
    }

    /// Its name, if it is part of the interface and not of this version.
    pub fn unbuilt(&self) -> Option<&'static str> {
        Some(match self {
            Command::Install(_) => "install",
            Command::Login(_) => "login",
            Command::History(_) => "history",
            Command::Reject(_) => "reject",
            Command::Rollback(_) => "rollback",
            Command::Pause(_) => "pause",
            Command::Resume(_) => "resume",
            Command::Revoke(_) => "revoke",
            Command::Remove(_) => "remove",
            Command::Rotate(_) => "rotate",
            Command::Backup(_) => "backup",
            Command::Recover(_) => "recover",
            Command::Bugreport(_) => "bugreport",
            _ => return None,
        })
    }
}
