//! Density: a hundred cells of one worker are still a hundred cells, and cheap. The benchmark `density` measures longer.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

mod measure;

use measure::{Course, measure};

/// The most memory that a VM may take beyond the idle process.
const MEMORY_KIB_PER_VM: f64 = 64.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_vms_of_one_worker_stay_themselves_below_64_kib_each() {
    let figures = measure(Course { pace: 600.0, allocate_minutes: 10.0, end_minutes: 40.0 }).await;
    println!("pace 600: {figures}");
    assert!(figures.kib_per_vm < MEMORY_KIB_PER_VM, "{figures}");
}
