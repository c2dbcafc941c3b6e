//! What is on the pool behind a place's VMs.

use std::time::{Duration, Instant};

use bioxen_tests::START_PATIENCE;
use bioxen_xapi_pool::{Census, Pool};

use crate::place::Place;

const PAUSE: Duration = Duration::from_millis(50);

/// Waits until the pool holds what it held before: the template, its disk and its snapshot.
pub(crate) async fn nothing_is_left(place: &Place) {
    if let (Some(pool), Some(before)) = (&place.pool, &place.before) {
        nothing_is_left_on(pool, before).await;
    }
}

/// The same of any pool.
pub(crate) async fn nothing_is_left_on(pool: &Pool, before: &Census) {
    let begun = Instant::now();
    loop {
        let census = pool.census();
        // The worker has a session and connections, and tasks come and go with its looks.
        let Census { sessions, tasks, connections, .. } = census;
        if census == (Census { sessions, tasks, connections, ..before.clone() }) {
            return;
        }
        assert!(begun.elapsed() < START_PATIENCE, "left on the pool: {census:?}, before: {before:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until one guest is left, which runs; at no time do two.
pub(crate) async fn one_is_left(place: &Place) {
    let begun = Instant::now();
    loop {
        let found = powers(place).unwrap_or_default();
        let running = found.iter().filter(|power| *power == "Running").count();
        assert_eq!(running, 1, "{found:?}");
        if found.len() == 1 {
            return;
        }
        assert!(begun.elapsed() < START_PATIENCE, "left on the pool: {found:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The power states of all guests, where the place has any.
pub(crate) fn powers(place: &Place) -> Option<Vec<String>> {
    let pool = place.pool.as_ref()?;
    let ours = |record: &bioxen_xapi_pool::Value| {
        let name = record.get("name_label").map(bioxen_xapi_pool::Value::as_text).unwrap_or_default();
        name.starts_with("bioxen/").then(|| {
            record.get("power_state").map(bioxen_xapi_pool::Value::as_text).unwrap_or_default().to_owned()
        })
    };
    Some(pool.records("VM").values().filter_map(ours).collect())
}

/// The guests' power states are these.
pub(crate) fn are(place: &Place, expected: &[&str]) {
    if let Some(found) = powers(place) {
        assert_eq!(found, expected);
    }
}
