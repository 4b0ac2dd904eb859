//! Cases about kinds: their scope on this cluster, and definitions that come and
//! change together with what they define.

use anyhow::{Result, ensure};
use rimward_e2e::rig::live::{config_map, grouped, now, uid};
use rimward_e2e::rig::{Rig, files};
use serde_json::{Value, json};

use super::support::{meanwhile, platform, until_said};

/// A definition of `case01.example.com` as Git has it: namespaced.
const IN_GIT: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.case01.example.com}
spec:
  group: case01.example.com
  names: {plural: widgets, singular: widget, kind: Widget}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
";

const WIDGET: &str = "\
apiVersion: case01.example.com/v1
kind: Widget
metadata: {name: mine}
spec: {size: 1}
";

/// The hub believes that the kind is namespaced; on this cluster somebody else has defined it otherwise. The API server
/// would drop the namespace without a word.
pub async fn cluster_scoped_with_a_namespace(rig: &mut Rig) -> Result<()> {
    let foreign: Value = serde_yaml::from_str(&IN_GIT.replace("Namespaced", "Cluster"))?;
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.case01.example.com";
    rig.sites[0].apply(definition, "another-team", &foreign).await?;
    let list = "/apis/case01.example.com/v1/widgets";
    rig.sites[0].until(list, "served", |found| found.is_some()).await?;
    let crds = platform(rig, "case01-kinds").await?;
    let app = files::app("kinds", "case01-kinds");
    crds.commit(&[("rimward.yaml", Some(&app)), ("crd.yaml", Some(IN_GIT))], "a kind")?;
    let repo = rig.tenant("case01", &["case01"])?;
    let (app, map) = (files::app("web", "case01"), files::config_map("beside", "a", "1"));
    let since = now();
    repo.commit(
        &[("rimward.yaml", Some(&app)), ("widget.yaml", Some(WIDGET)), ("map.yaml", Some(&map))],
        "a widget",
    )?;
    rig.reconcile().await?;
    let refused = until_said(rig, "case01/web", "mine", "ScopeMismatch").await?;
    ensure!(refused["message"].as_str().is_some_and(|text| text.contains("cluster-scoped")), "{refused:#}");
    // One object's failure is that object's.
    rig.sites[0].until_is(&config_map("case01", "beside"), "/data/a", &json!("1")).await?;
    meanwhile().await;
    let site = &mut rig.sites[0];
    let asked =
        site.asked(since).await?.filter(|event| event.group == "case01.example.com" && event.name == "mine");
    ensure!(asked.count() == 0, "{asked}");
    ensure!(site.get(&format!("{list}/mine")).await?.is_none(), "it was made without its namespace");
    Ok(())
}

/// A definition with one version, and then with a second that has a default.
fn thing(second: bool) -> String {
    let schema = |properties: &str| {
        format!(
            "schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{{properties}}}}}}}}}}}"
        )
    };
    let first = schema("size: {type: integer}");
    let mut text = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {{name: things.case13.example.com}}\n\
         spec:\n  group: case13.example.com\n  names: {{plural: things, singular: thing, kind: Thing}}\n  \
         scope: Namespaced\n  versions:\n  - {{name: v1, served: true, storage: {}, {first}}}\n",
        !second
    );
    if second {
        let colour = schema("size: {type: integer}, colour: {type: string, default: blue}");
        text += &format!("  - {{name: v2, served: true, storage: true, {colour}}}\n");
    }
    text
}

fn resource(version: &str) -> String {
    format!(
        "apiVersion: case13.example.com/{version}\nkind: Thing\nmetadata: {{name: one}}\nspec: {{size: 1}}\n"
    )
}

/// The kind is not there when the plan comes; later it gets a version whose default nobody wrote.
pub async fn kind_and_object_in_one_plan(rig: &mut Rig) -> Result<()> {
    let repo = platform(rig, "case13").await?;
    let app = files::app("things", "case13");
    let (crd, one) = (thing(false), resource("v1"));
    let first = [("rimward.yaml", Some(&*app)), ("thing.yaml", Some(&*one)), ("crd.yaml", Some(&*crd))];
    rig.ship(&repo, "case13/things", &first).await?;
    let path = |version: &str| grouped(&format!("case13.example.com/{version}"), "case13", "things", "one");
    let before = rig.sites[0].there(&path("v1")).await?;

    let (second, one) = (thing(true), resource("v2"));
    rig.ship(&repo, "case13/things", &[("crd.yaml", Some(&second)), ("thing.yaml", Some(&one))]).await?;
    let object = rig.sites[0].until_is(&path("v2"), "/spec/colour", &json!("blue")).await?;
    ensure!(uid(&object) == uid(&before), "it was made again");
    ensure!(object["spec"]["size"] == 1, "{object:#}");
    // Converged: what nobody wrote is nobody's drift, and nothing is written again and again.
    let since = now();
    meanwhile().await;
    let written = rig.sites[0].wrote(since).await?.filter(|event| event.group == "case13.example.com");
    ensure!(written.count() == 0, "{written}");
    ensure!(super::support::drifts(rig, "case13", "one").await?.is_empty(), "a default is no drift");
    rig.wait_ready("case13/things").await
}
