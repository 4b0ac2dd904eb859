//! What one managed object costs: memory is bounded by what is managed, and this
//! is the factor. The whole state of the core counts, its plan and its ledger
//! too, after a plan that was applied, watched and reported.

use allocation_counter::measure;

use super::fleet::{app, config};
use super::world::World;

/// Objects of the smaller and of the larger fleet.
const SIZES: [usize; 2] = [1_000, 10_000];
/// The bound for one object, with names of 27 letters: 1,231 bytes were measured at the smaller size and 1,259 at the
/// larger; the rest is room for a field or two.
const BYTES: usize = 1_536;

/// Bytes that are free once the core's state is dropped; nothing else holds them.
fn state(objects: usize) -> usize {
    let mut world = World::new();
    let names = (0..objects).map(|i| format!("application-settings-{i:06}"));
    let objects = names.map(|name| config("shop", &name, "1")).collect();
    let plan = world.fleet.plan(&[app("shop/web", objects)], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    while !world.run() {}
    let specs: Vec<_> = world.watches.iter().cloned().collect();
    // A relist, as after every restart and every 410.
    specs.iter().for_each(|spec| world.list(spec));
    while !world.run() {}
    let state = std::mem::replace(&mut world.state, World::new().state);
    let freed = measure(move || drop(state)).bytes_current;
    usize::try_from(-freed).expect("dropping frees")
}

#[test]
fn memory_is_bounded_by_what_is_managed() {
    for size in SIZES {
        let bytes = state(size);
        let each = bytes / size;
        println!("figure memory: {each} bytes for each of {size} objects, {} KiB in all", bytes >> 10);
        assert!(each <= BYTES, "{each} bytes for each of {size} objects");
    }
}
