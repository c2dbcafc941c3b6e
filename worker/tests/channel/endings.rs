//! The ways in which a channel ends, and that nothing stays in the guest.

use bioxen_worker::xcpng::SshFault;

use crate::sshd::{Sshd, processes_of, signal, stand_in};
use crate::{briefly, fault, frame, soon};

#[tokio::test]
async fn a_program_that_ends_says_how_with_its_last_words() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    for (order, words) in [("leave", "status 3"), ("die", "signal KILL")] {
        let mut channel = sshd.open(&program).await;
        let fault = fault(channel.ask(&frame(order.as_bytes()), soon()).await);
        assert!(matches!(&fault, SshFault::Ended { .. }) && fault.to_string().contains(words), "{fault}");
        let SshFault::Ended { said, .. } = &fault else { continue };
        assert_eq!(said.contains("no more memory"), order == "leave", "{said}");
        assert!(said.len() < 600, "{said}");
        let again = crate::fault(channel.ask(&frame(b"hi"), soon()).await).to_string();
        assert!(again.contains("a question before this one failed"), "{again}");
        channel.close().await;
    }
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_program_that_is_killed_from_outside_is_noticed() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let mut channel = sshd.open(&program).await;
    channel.ask(&frame(b"hi"), soon()).await.unwrap();
    for process in processes_of(&program) {
        signal(process, rustix::process::Signal::KILL);
    }
    let fault = fault(channel.ask(&frame(b"hi"), soon()).await);
    assert!(fault.to_string().contains("signal KILL"), "{fault}");
    channel.close().await;
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn what_nobody_asked_for_is_no_answer() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let mut channel = sshd.open(&program).await;
    assert_eq!(channel.ask(&frame(b"babble"), soon()).await.unwrap(), b"babble");
    let unasked = fault(channel.ask(&frame(b"hi"), soon()).await);
    assert!(unasked.to_string().contains("nobody asked for"), "{unasked}");
    channel.close().await;
    let mut channel = sshd.open(&program).await;
    let garbled = fault(channel.ask(&frame(b"shout"), soon()).await);
    assert!(garbled.to_string().contains("is no answer"), "{garbled}");
    channel.close().await;
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_guest_that_is_frozen_is_given_up_at_the_deadline() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let mut channel = sshd.open(&program).await;
    sshd.freeze();
    // More than the buffers on the way take.
    let fault = fault(channel.ask(&frame(&vec![7; 8 << 20]), briefly()).await);
    assert_eq!(fault, SshFault::Late { seconds: 1, said: String::new() });
    assert!(fault.passes());
    channel.close().await;
}

#[tokio::test]
async fn a_channel_that_is_dropped_leaves_no_process_also_where_the_program_does_not_read() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    drop(sshd.open(&program).await);
    sshd.nothing_is_left(&program);
    let mut channel = sshd.open(&program).await;
    let fault = fault(channel.ask(&frame(b"sleep"), briefly()).await);
    assert!(matches!(fault, SshFault::Late { .. }), "{fault}");
    assert!(!processes_of(&program).is_empty());
    drop(channel);
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_question_that_is_given_up_spoils_its_channel_and_no_later_answer() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let mut channel = sshd.open(&program).await;
    let body = vec![1; 1 << 20];
    let question = frame(&body);
    let given_up = tokio::time::timeout(std::time::Duration::ZERO, channel.ask(&question, soon())).await;
    assert!(given_up.is_err());
    let refused = fault(channel.ask(&frame(b"hi"), soon()).await);
    assert!(matches!(refused, SshFault::Ended { .. }), "{refused}");
    channel.close().await;
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn thirty_channels_one_after_the_other_leave_no_session_and_no_process() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    for _ in 0..30 {
        let mut channel = sshd.open(&program).await;
        assert_eq!(channel.ask(&frame(b"hi"), soon()).await.unwrap(), b"hi");
        channel.close().await;
    }
    sshd.nothing_is_left(&program);
    assert_eq!(sshd.sessions(), 0);
}
