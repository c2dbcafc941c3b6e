//! What the program was started for: its arguments, and the words for whoever starts it by hand.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
bioxen-guest computes cells for a bioxen-worker, which starts it; nobody types to it

Usage: bioxen-guest [PACKS_DIR]         runs process code, a job at a time, in a process that reaches nothing else:
                                        what a worker keeps as children, and an agent as its child
       bioxen-guest agent [PACKS_DIR]   is all of BioXen in a guest on an XCP-ng pool: computes the quanta that a
                                        worker asks for over SSH, and runs process code in a child of itself
       bioxen-guest --help | --version

  PACKS_DIR   a folder of chassis packs beside the program's own; one named `agent` is written ./agent

Both read frames on standard input and answer each with one on standard output: a length of four bytes, big-endian,
then MessagePack. Both say hello first, keep nothing from one frame to the next, and end when their input ends. A frame
that is not understood ends them with a word on standard error and a status that is not 0.
";

/// In which form it runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Jobs { packs: Option<PathBuf> },
    Agent { packs: Option<PathBuf> },
    Help,
    Version,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Usage {
    #[error("there is no option {0:?}; bioxen-guest --help lists what there is")]
    Option(OsString),
    #[error(
        "{0:?} is one argument too many; expected a folder of chassis packs at most, see bioxen-guest --help"
    )]
    TooMany(OsString),
}

pub(crate) fn mode(arguments: impl Iterator<Item = OsString>) -> Result<Mode, Usage> {
    let mut arguments = arguments.peekable();
    let is_agent = arguments.next_if(|first| first == "agent").is_some();
    match arguments.peek() {
        Some(first) if first == "--help" || first == "-h" => return Ok(Mode::Help),
        Some(first) if first == "--version" || first == "-V" => return Ok(Mode::Version),
        Some(first) if first.as_encoded_bytes().starts_with(b"-") => {
            return Err(Usage::Option(first.clone()));
        }
        Some(_) | None => {}
    }
    let packs = arguments.next().map(PathBuf::from);
    match arguments.next() {
        Some(further) => Err(Usage::TooMany(further)),
        None if is_agent => Ok(Mode::Agent { packs }),
        None => Ok(Mode::Jobs { packs }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Mode, Usage> {
        mode(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_first_word_says_which_form_it_takes() {
        let packs = || Some(PathBuf::from("/packs"));
        assert_eq!(of(&[]), Ok(Mode::Jobs { packs: None }));
        assert_eq!(of(&["/packs"]), Ok(Mode::Jobs { packs: packs() }));
        assert_eq!(of(&["agent"]), Ok(Mode::Agent { packs: None }));
        assert_eq!(of(&["agent", "/packs"]), Ok(Mode::Agent { packs: packs() }));
        assert_eq!(of(&["./agent"]), Ok(Mode::Jobs { packs: Some("./agent".into()) }));
        assert_eq!((of(&["--help"]), of(&["agent", "-h"])), (Ok(Mode::Help), Ok(Mode::Help)));
        assert_eq!(of(&["-V"]), Ok(Mode::Version));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(of(&["--pack"]), Err(Usage::Option("--pack".into())));
        assert_eq!(of(&["agent", "/packs", "x"]), Err(Usage::TooMany("x".into())));
    }
}
