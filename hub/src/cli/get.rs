//! `rimward get`: a list, once or for as long as something changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::args::{GetArgs, Global, Kind, Output};
use super::client::{Client, with_query};
use super::exit::{Exit, Failure};
use super::watch::Watch;
use super::{columns, output};

/// Runs the command.
pub async fn run(client: &Client, global: &Global, args: &GetArgs) -> Result<Exit, Failure> {
    let path = path(args.kind)?;
    let query = filters(global);
    match (global.watch, args.kind) {
        (false, _) => {
            let list = named(client.list(path, &query).await?, args)?;
            output::print(&render(global, args.kind, &list))?;
            say_lists(global, &list);
            Ok(Exit::Yes)
        }
        (true, Kind::Drift | Kind::Events) => follow(client, global, args, path, &query).await,
        (true, _) => watch(client, global, args, path, &query).await,
    }
}

fn path(kind: Kind) -> Result<&'static str, Failure> {
    Ok(match kind {
        Kind::Clusters => "/clusters",
        Kind::Apps => "/apps",
        Kind::Tenants => "/tenants",
        Kind::Sources => "/sources",
        Kind::Drift => "/drift",
        Kind::Events => "/events",
        Kind::Holds => "/holds",
        Kind::Rollouts => return Err(Failure::not_built("rollouts")),
        Kind::Pauses => return Err(Failure::not_built("pauses")),
        Kind::Tokens => return Err(Failure::not_built("a list of tokens")),
        Kind::Audit => return Err(Failure::not_built("the audit log")),
    })
}

fn filters(global: &Global) -> Vec<(&'static str, String)> {
    let all = [
        ("tenant", &global.tenant),
        ("app", &global.app),
        ("cluster", &global.cluster),
        ("labels", &global.labels),
        ("state", &global.state),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

/// True if a name on the command line means this item.
fn is_named(kind: Kind, item: &Value, name: &str) -> bool {
    let reference = columns::name(kind, item);
    let short = reference.split_once('/').map(|(_, rest)| rest).unwrap_or_default();
    let own = item["name"].as_str().or_else(|| item["id"].as_str());
    name == reference || name == short || Some(name) == own
}

/// The list with only the items that the command line names; a name without an item is an error.
fn named(mut list: Value, args: &GetArgs) -> Result<Value, Failure> {
    let Some(items) = list["items"].as_array_mut().filter(|_| !args.names.is_empty()) else {
        return Ok(list);
    };
    if let Some(name) = args.names.iter().find(|n| !items.iter().any(|i| is_named(args.kind, i, n))) {
        return Err(Failure::new(Exit::NotFound, format!("{name} not found")));
    }
    items.retain(|item| args.names.iter().any(|name| is_named(args.kind, item, name)));
    Ok(list)
}

/// Where not everything is watched: how late drift shows. For people; the API's answer has it as `lists`.
fn say_lists(global: &Global, list: &Value) {
    if !matches!(global.output, None | Some(Output::Table | Output::Wide)) {
        return;
    }
    for lists in list["lists"].as_array().into_iter().flatten() {
        let of = |field: &str| columns::text(&lists[field]);
        let seen =
            lists["asOf"].as_str().map_or("not all of it yet".to_owned(), |at| format!("last at {at}"));
        let (cluster, places, seconds) = (of("cluster"), of("places"), of("intervalSeconds"));
        output::say(
            global,
            format!(
                "{cluster}: beyond its watches, {places} kinds and namespaces are listed every {seconds} s, {seen}: \
                 drift there shows that late"
            ),
        );
    }
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A whole list in the format asked for.
fn render(global: &Global, kind: Kind, list: &Value) -> String {
    let format = global.output.unwrap_or(Output::Table);
    if let Some(document) = output::document(format, list) {
        return document;
    }
    if format == Output::Name {
        return items(list).iter().map(|item| columns::name(kind, item) + "\n").collect();
    }
    let wide = format == Output::Wide;
    if kind == Kind::Drift {
        return items(list)
            .iter()
            .flat_map(|item| columns::drift(item, wide))
            .map(|line| line + "\n")
            .collect();
    }
    let (header, now) = (columns::header(kind, wide), Timestamp::now());
    let rows: Vec<_> = items(list).iter().map(|item| columns::row(kind, item, &header, now)).collect();
    output::table(&header, &rows, output::colored(global))
}

/// Items of a running watch: one JSON text a line, one YAML document each, or table rows under one header.
fn render_more(global: &Global, kind: Kind, changed: Vec<Value>, first: bool) -> String {
    if changed.is_empty() && !first {
        return String::new();
    }
    match global.output.unwrap_or(Output::Table) {
        Output::Json => changed.iter().map(|item| super::text::clean_json(&format!("{item}\n"))).collect(),
        Output::Yaml => changed.iter().map(|item| format!("---\n{}", super::yaml::to_string(item))).collect(),
        Output::Name => render(global, kind, &serde_json::json!({"items": changed})),
        _ => {
            let table = render(global, kind, &serde_json::json!({"items": changed}));
            let skip = usize::from(!first && kind != Kind::Drift);
            table.split_inclusive('\n').skip(skip).collect()
        }
    }
}

/// Drift and events come by themselves: print what is there, then each as it arrives.
async fn follow(
    client: &Client,
    global: &Global,
    args: &GetArgs,
    path: &str,
    query: &[(&str, String)],
) -> Result<Exit, Failure> {
    if !args.names.is_empty() {
        return Err(Failure::usage("names mean nothing with --watch of drift and events"));
    }
    let list = client.list(path, query).await?;
    let last = items(&list).last().and_then(|item| item["id"].as_str()).unwrap_or("0").to_owned();
    output::print(&render_more(global, args.kind, items(&list).to_vec(), true))?;
    say_lists(global, &list);
    let mut query = query.to_vec();
    query.push(("watch", "true".to_owned()));
    let mut stream = Watch::open(client, global, with_query(path, &query), Some(last)).await?;
    loop {
        let Some(message) = stream.next().await? else { continue };
        match message.kind.as_str() {
            "reset" => {
                output::say(global, "some were missed: the hub restarted, or keeps no more; list again")
            }
            "event" | "drift" => {
                let item = serde_json::from_str(&message.data);
                let item = item.map_err(|error| Failure::new(Exit::Bug, format!("the hub sent {error}")))?;
                output::print(&render_more(global, args.kind, vec![item], false))?;
            }
            _ => {}
        }
    }
}

/// Fields that change although nothing happened.
const RESTLESS: [&str; 4] = ["asOf", "lastSeen", "fetched", "since"];

/// An item without them.
fn calm(item: &Value) -> Value {
    let mut calm = item.clone();
    if let Some(fields) = calm.as_object_mut() {
        fields.retain(|field, _| !RESTLESS.contains(&field.as_str()));
    }
    calm
}

/// Everything else has a state: print the list, then each item whose state is another.
async fn watch(
    client: &Client,
    global: &Global,
    args: &GetArgs,
    path: &str,
    query: &[(&str, String)],
) -> Result<Exit, Failure> {
    // The stream first: what changes while the list is read is then not missed.
    let mut stream = Watch::open(client, global, "/events?watch=true".to_owned(), None).await?;
    let mut shown: BTreeMap<String, Value> = BTreeMap::new();
    let mut first = true;
    loop {
        let list = match client.list(path, query).await {
            // The hub was there a moment ago: the stream dials it again, and says so.
            Err(failure) if failure.exit == Exit::Unreachable && !first => {
                stream.next().await?;
                continue;
            }
            list => named(list?, args)?,
        };
        let mut changed = Vec::new();
        for item in items(&list) {
            let (name, calm) = (columns::name(args.kind, item), calm(item));
            if shown.get(&name) != Some(&calm) {
                shown.insert(name, calm);
                changed.push(item.clone());
            }
        }
        let there: Vec<String> = items(&list).iter().map(|item| columns::name(args.kind, item)).collect();
        for gone in shown.keys().filter(|name| !there.contains(name)) {
            output::say(global, format!("{gone} is gone"));
        }
        shown.retain(|name, _| there.contains(name));
        output::print(&render_more(global, args.kind, changed, first))?;
        first = false;
        while stream.next().await?.is_some_and(|message| message.kind != "change") {}
    }
}
