//! The program in the guest: copied in where it is missing, another or damaged.

use std::os::unix::fs::PermissionsExt;

use bioxen_worker::xcpng::SshFault;
use bioxen_worker::xcpng::channel::Program;

use crate::sshd::{Sshd, program, stand_in};
use crate::{fault, frame, soon};

#[tokio::test]
async fn a_program_that_is_missing_is_copied_in_once_and_another_takes_its_place() {
    let Some(sshd) = Sshd::start() else { return };
    assert_eq!(sshd.installed(), [""; 0].map(std::path::PathBuf::from));
    let (first, second) = (stand_in(), stand_in());
    let mut times = Vec::new();
    for program in [&first, &first, &second] {
        let mut channel = sshd.open(program).await;
        channel.ask(&frame(b"hi"), soon()).await.unwrap();
        channel.close().await;
        let installed = sshd.installed();
        assert_eq!(installed.len(), 1, "{installed:?}");
        assert!(installed[0].ends_with(format!("guest-{}", program.digest())));
        let stands = std::fs::metadata(installed[0].join("bioxen-guest")).unwrap();
        assert_eq!(stands.permissions().mode() & 0o777, 0o700);
        times.push(std::os::unix::fs::MetadataExt::ino(&stands));
    }
    assert_eq!(times[0], times[1], "it was copied twice");
    sshd.nothing_is_left(&first);
    sshd.nothing_is_left(&second);
}

#[tokio::test]
async fn a_program_that_was_damaged_is_copied_in_anew() {
    let Some(sshd) = Sshd::start() else { return };
    let program = stand_in();
    sshd.open(&program).await.close().await;
    for damaged in ["", "#!/bin/sh\nexit 0\n", "#!/bin/sh\necho Welcome to this guest\n"] {
        std::fs::write(sshd.installed()[0].join("bioxen-guest"), damaged).unwrap();
        let mut channel = sshd.open(&program).await;
        assert_eq!(channel.ask(&frame(b"hi"), soon()).await.unwrap(), b"hi");
        channel.close().await;
    }
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_program_that_does_not_run_is_said_with_its_last_words() {
    let Some(sshd) = Sshd::start() else { return };
    let program = program("#!/bin/sh\necho 'no such processor' >&2\nexit 9\n");
    let fault = fault(sshd.try_open(&program, soon()).await);
    assert!(matches!(fault, SshFault::Program { .. }), "{fault:?}");
    let words = fault.to_string();
    assert!(words.contains("status 9") && words.contains("no such processor"), "{words}");
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_guest_that_cannot_take_the_program_says_why() {
    let Some(sshd) = Sshd::start() else { return };
    // Where the folder is to be stands a file.
    std::fs::write(sshd.folder.path().join("home/.bioxen"), "").unwrap();
    let program = stand_in();
    let fault = fault(sshd.try_open(&program, soon()).await);
    let words = fault.to_string();
    assert!(matches!(fault, SshFault::Program { .. }) && words.contains(".bioxen"), "{words}");
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn packs_go_with_the_program_and_another_pack_makes_it_another() {
    let Some(sshd) = Sshd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("packs/my cell")).unwrap();
    std::fs::write(at("packs/my cell/notes.txt"), "no file of a pack").unwrap();
    std::fs::copy("/usr/bin/perl", at("program")).unwrap();
    let missing = Program::read(&at("nothing"), None).unwrap_err().to_string();
    assert!(missing.contains("nothing, which guests need, cannot be read"), "{missing}");
    let mut digests = Vec::new();
    for sheet in ["one", "two"] {
        std::fs::write(at("packs/my cell/pack.toml"), sheet).unwrap();
        let (read, again) = (
            Program::read(&at("program"), Some(&at("packs"))).unwrap(),
            Program::read(&at("program"), Some(&at("packs"))).unwrap(),
        );
        assert_eq!(read.digest(), again.digest());
        digests.push(read.digest().to_owned());
    }
    assert_ne!(digests[0], digests[1]);
    let packs = [("my cell/pack.toml".into(), b"two".to_vec())].into();
    let program = Program::new(crate::sshd::STAND_IN.as_bytes(), &packs).unwrap();
    let mut channel = sshd.open(&program).await;
    assert_eq!(channel.ask(&frame(b"packs"), soon()).await.unwrap(), b"two");
    channel.close().await;
    sshd.nothing_is_left(&program);
}

#[tokio::test]
async fn a_copy_that_breaks_off_leaves_nothing_and_is_done_again() {
    let Some(sshd) = Sshd::start() else { return };
    // Larger than what is on its way at once.
    let program = program(&format!("{}\n__END__\n{}", crate::sshd::STAND_IN, "x".repeat(32 << 20)));
    let part_is_there = async {
        while !sshd.installed().iter().any(|path| path.extension().is_some_and(|kind| kind == "tar")) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        opened = sshd.try_open(&program, soon()) => panic!("it was not interrupted: {opened:?}"),
        () = part_is_there => {}
    }
    crate::sshd::until("what had arrived is removed", || sshd.installed().is_empty());
    let mut channel = sshd.open(&program).await;
    assert_eq!(channel.ask(&frame(b"hi"), soon()).await.unwrap(), b"hi");
    channel.close().await;
    assert_eq!(sshd.installed().len(), 1);
    sshd.nothing_is_left(&program);
}
