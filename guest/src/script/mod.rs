//! The script form: a fresh Luau VM for one job, with nothing of the host in it, under the job's limits.
//!
//! A limit that is reached raises an error at the next loop iteration or call, and again at every one after it: a
//! script may catch each, but comes no further, and `run` looks at the meter when it ends.

mod api;
mod globals;
mod packages;
mod values;

use std::rc::Rc;

use bioxen_guest::{Failure, JobPackage, Value};
use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Error, Function, Lua, LuaOptions, MultiValue, StdLib, VmState};

use crate::run::failure_of;
use crate::session::{Halt, Session};

/// The script's name in messages: `script:3: ...`.
const CHUNK: &str = "=script";

/// Runs `code`; its return values are the result.
pub(crate) fn run(
    session: &Rc<Session>,
    code: &str,
    packages: &[JobPackage],
    seed: u32,
) -> Result<Value, Failure> {
    // Compiled code begins with its version's number or ESC, and no source does.
    if code.bytes().next().is_some_and(|first| first < b'\t' || first == 0x1b) {
        let message = "the code is no text but compiled; send its source".to_owned();
        return Err(Failure::Runtime { message, line: None });
    }
    let lua = new_vm(session, packages, seed).map_err(|error| failure(&error, session))?;
    let result = execute(&lua, session, code).map_err(|error| failure(&error, session))?;
    values::result(&result, session.limits.result_bytes).map_err(|reason| Failure::Result { reason })
}

fn new_vm(session: &Rc<Session>, packages: &[JobPackage], seed: u32) -> mlua::Result<Lua> {
    let libraries = StdLib::MATH | StdLib::STRING | StdLib::TABLE | StdLib::BIT | StdLib::BUFFER;
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    globals::prepare(&lua, seed)?;
    lua.globals().raw_set("cell", api::table(&lua, session)?)?;
    lua.globals().raw_set("package", packages::function(&lua, session, packages)?)?;
    lua.sandbox(true)?;
    let limit_bytes = session.limits.memory_kb.saturating_mul(1024);
    lua.set_memory_limit(usize::try_from(limit_bytes).unwrap_or(usize::MAX))?;
    let meter = Rc::clone(session);
    lua.set_interrupt(move |_| match meter.meter.charge(1) {
        Ok(()) => Ok(VmState::Continue),
        Err(stop) => Err(Error::external(Halt::Stop(stop))),
    });
    Ok(lua)
}

fn execute(lua: &Lua, session: &Session, code: &str) -> mlua::Result<MultiValue> {
    let function = load(lua, code, CHUNK)?;
    session.meter.look().map_err(|stop| Error::external(Halt::Stop(stop)))?;
    function.call(())
}

fn load(lua: &Lua, source: &str, name: &str) -> mlua::Result<Function> {
    let compiler = Compiler::new().set_optimization_level(1).set_debug_level(1);
    lua.load(source).set_name(name).set_mode(ChunkMode::Text).set_compiler(compiler).into_function()
}

/// What went wrong, by the error's root.
fn failure(error: &Error, session: &Session) -> Failure {
    let line = line_of(&error.to_string());
    let mut root = error;
    while let Error::CallbackError { cause, .. }
    | Error::BadArgument { cause, .. }
    | Error::WithContext { cause, .. } = root
    {
        root = cause;
    }
    match root {
        Error::MemoryError(_) => Failure::Memory { limit_kb: session.limits.memory_kb },
        Error::ExternalError(inner) => match inner.downcast_ref::<Halt>() {
            Some(Halt::Stop(stop)) => stop.failure(&session.limits),
            Some(Halt::Process(error)) => failure_of(error.clone().into(), session, line),
            Some(Halt::Misuse(message)) => Failure::Runtime { message: message.clone(), line },
            None => Failure::Runtime { message: inner.to_string(), line },
        },
        // The heap was full while an error was handled.
        Error::RuntimeError(message) if message == "not enough memory" => {
            Failure::Memory { limit_kb: session.limits.memory_kb }
        }
        Error::RuntimeError(message) | Error::SyntaxError { message, .. } => {
            Failure::Runtime { message: first_line(message), line }
        }
        other => Failure::Runtime { message: first_line(&other.to_string()), line },
    }
}

/// A message without the stack below it, and not without end.
fn first_line(message: &str) -> String {
    let message = message.split("\nstack traceback").next().unwrap_or_default();
    message.chars().take(1_000).collect()
}

fn line_of(message: &str) -> Option<u32> {
    let (_, after) = message.split_once("script:")?;
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}
