//! What a VM owes its user whatever runs it: one suite, passed by `basic` and by `xcpng`, test for test.
//!
//! Where this machine cannot run guests (an sshd and namespaces of their own, so root), the second half says so and is skipped.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stderr, reason = "what is skipped says so")]

mod cell;
mod guests;
mod life;
mod lost;
mod many;
mod moved;
mod own;
mod place;
mod processes;
mod refused;
mod tried;
mod unreachable;

/// Each of these is a test of both backends.
macro_rules! contract {
    ($($module:ident::$name:ident,)*) => {
        mod basic {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let place = crate::place::Place::basic().await;
                crate::$module::$name(&place).await;
                place.ends().await;
            })*
        }

        mod xcpng {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let Some(place) = crate::place::Place::xcpng().await else { return };
                crate::$module::$name(&place).await;
                place.ends().await;
            })*
        }
    };
}

contract! {
    life::a_vm_lives_from_create_to_destroy_and_gives_everything_back,
    life::a_name_is_free_again_once_its_vm_is_destroyed,
    life::a_vm_that_was_stopped_goes_on_where_it_stood,
    life::a_vm_in_a_guest_shows_what_the_guest_s_host_measures,
    life::what_cannot_be_done_in_a_state_is_refused_with_the_state,
    cell::a_cell_is_simulate_s_to_the_bit_with_parameters_schedule_and_changes,
    cell::a_single_cell_divides_as_its_seed_says,
    cell::a_recording_has_every_row,
    cell::an_allocation_takes_effect_in_a_cell_that_runs_and_in_one_that_is_paused,
    cell::a_checkpoint_is_kept_and_gone_back_to,
    cell::a_monitored_vm_has_a_history,
    processes::calls_and_scripts_change_the_cell_and_answer,
    processes::code_that_never_ends_is_ended_and_leaves_no_trace,
    processes::a_script_uses_the_modules_of_an_installed_package,
}
