//! Size: 150 Apps over 5,000 clusters. What is counted here is work, not time:
//! plans are built once for each group of clusters, and shared.

use std::collections::BTreeSet;
use std::sync::Arc;

use rimward_hub::core::files::load_fleet;
use rimward_hub::core::model::SourceTree;
use rimward_hub::core::plan::RenderCache;
use rimward_proto::ClusterUid;

use super::world::{FLEET, World, app, cluster, config_map};

#[test]
fn five_thousand_clusters_share_a_handful_of_plans() {
    let mut world = World::default();
    let mut fleet = FLEET.to_owned();
    for n in 0..5_000 {
        let labels = format!("{{env: e{}, region: r{}}}", n % 3, n % 5);
        fleet += &format!(
            "---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: c{n}, labels: {labels}}}\n"
        );
        world.enrolled.insert(cluster(&format!("c{n}")), ClusterUid::new(format!("u{n}")).unwrap());
    }
    for n in 0..150 {
        let selector = ["{}".to_owned(), format!("{{matchLabels: {{env: e{}}}}}", n % 3)];
        world.file(&format!("a{n}/rimward.yaml"), &app(&format!("a{n}"), &selector[n % 2]));
        world.file(&format!("a{n}/cm.yaml"), &config_map(&format!("a{n}"), "1"));
    }
    let tree = |text: &str| SourceTree {
        commit: String::new(),
        files: [("f.yaml".to_owned(), text.as_bytes().into())].into(),
        ..SourceTree::default()
    };
    let policy = load_fleet(&tree(&fleet), &Default::default()).policy;
    let mut cache = RenderCache::default();
    let mut plan = |world: &mut World| {
        let trees = world.trees();
        let output = world.plan_with(&policy, &trees, &mut cache);
        world.previous = output.plans;
        world.origins = output.origins;
        world.stored.extend(output.content);
        world.previous.values().map(|plan| Arc::as_ptr(plan).addr()).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(plan(&mut world), 3);
    assert_eq!(plan(&mut world), 3);
    world.file("a7/cm.yaml", &config_map("a7", "2"));
    assert_eq!(plan(&mut world), 3);
    assert_eq!(world.previous.len(), 5_000);
}
