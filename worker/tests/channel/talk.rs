//! A channel that works, and who is not spoken to.

use std::net::TcpListener;

use bioxen_worker::xcpng::SshFault;
use bioxen_worker::xcpng::channel::{Channel, HostKey, Target};

use crate::sshd::{Sshd, key, stand_in};
use crate::{briefly, fault, frame, soon};

#[tokio::test]
async fn a_hundred_questions_are_answered_and_large_ones_go_both_ways() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let mut channel = sshd.open(&program).await;
    assert_eq!(channel.version().len(), 6);
    for number in 0..100_u32 {
        let answer = channel.ask(&frame(&number.to_be_bytes()), soon()).await.unwrap();
        assert_eq!(answer, number.to_be_bytes());
    }
    let large: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    for _ in 0..3 {
        assert!(channel.ask(&frame(&large), soon()).await.unwrap() == large);
    }
    assert_eq!(channel.ask(&frame(b""), soon()).await.unwrap(), b"");
    channel.close().await;
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_guest_with_another_host_key_is_not_spoken_to() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let other = HostKey::generate().unwrap();
    let fault =
        fault(Channel::open(&Target { host_key: other.public(), ..sshd.target(&program) }, soon()).await);
    assert!(matches!(fault, SshFault::HostKey { .. }), "{fault}");
    assert!(fault.to_string().matches("SHA256:").count() == 2 && !fault.passes(), "{fault}");
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPDFxgD8KZnZYr5ZWb/pd3Hv\
                 5XpE1Mj3DG4Lz4zv1kEXAMPLE";
    let unreadable = Channel::open(&Target { host_key: ecdsa, ..sshd.target(&program) }, soon()).await;
    assert!(matches!(crate::fault(unreadable), SshFault::UnknownHostKey { .. }));
    assert!(sshd.installed().is_empty());
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_key_that_the_guest_does_not_know_is_refused_at_once() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let stranger = key(&sshd.folder.path().join("stranger"));
    let fault = fault(Channel::open(&Target { key: &stranger, ..sshd.target(&program) }, soon()).await);
    assert_eq!(fault, SshFault::Login { user: sshd.user.clone() });
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_closed_port_is_tried_until_the_deadline_and_a_guest_that_starts_late_is_reached() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    // The port is bound and nobody listens, so nobody else gets it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let late = Target { address: socket.local_addr().unwrap(), ..sshd.target(&program) };
    let fault = fault(Channel::open(&late, briefly()).await);
    assert!(matches!(&fault, SshFault::Unreachable { seconds: 1, .. }), "{fault}");
    assert!(fault.to_string().contains("refused") && fault.passes(), "{fault}");
    // Whoever connects there next is refused at first, then let through to the guest.
    let opening = Channel::open(&late, soon());
    let serving = async {
        let listener = socket.listen(1).unwrap();
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(sshd.address).await.unwrap();
        // Ends when the channel does, or the test.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    };
    let talking = async {
        let mut channel = opening.await.unwrap();
        assert_eq!(channel.ask(&frame(b"hi"), soon()).await.unwrap(), b"hi");
        channel.close().await;
    };
    tokio::join!(serving, talking);
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_listener_that_never_says_a_banner_is_given_up_at_the_deadline() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let attempt = std::time::Duration::from_millis(300);
    let target = Target { address, ssh_timeout: attempt, ..sshd.target(&program) };
    let fault = fault(Channel::open(&target, briefly()).await);
    assert!(matches!(&fault, SshFault::Unreachable { .. }), "{fault}");
    assert!(fault.to_string().contains("no answer"), "{fault}");
    // It was tried more than once, and each attempt ended.
    for _ in 0..2 {
        let (mut stream, _) = silent.accept().unwrap();
        let mut said = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut said).unwrap();
        assert!(said.starts_with(b"SSH-2.0-"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_work_side_by_side_in_tasks_of_their_own() {
    let Some(sshd) = Sshd::start() else { return };
    let sshd = std::sync::Arc::new(sshd);
    let program = stand_in();
    sshd.open(&program).await.close().await;
    let tasks = (0..8_u8).map(|number| {
        let (sshd, program) = (std::sync::Arc::clone(&sshd), program.clone());
        tokio::spawn(async move {
            let mut channel = sshd.open(&program).await;
            for _ in 0..10 {
                let body = vec![number; 100_000];
                assert!(channel.ask(&frame(&body), soon()).await.unwrap() == body);
            }
            channel.close().await;
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    sshd.nothing_is_left(&program);
}
