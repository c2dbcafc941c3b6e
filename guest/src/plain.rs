//! The plain form: one call with literal arguments. It parses and calls; the session does the rest.

use bioxen_guest::{Failure, Value};
use bioxen_hypervisor::process::Function;
use bioxen_hypervisor::process::call::{self, Literal};

use crate::run::failure_of;
use crate::session::Session;

pub(crate) fn run(session: &Session, code: &str) -> Result<Value, Failure> {
    let call = call::parse(code)
        .map_err(|error| Failure::BadCall { message: error.to_string(), column: error.column as u64 })?;
    let function = Function::find(&call.name).map_err(|error| failure_of(error.into(), session, None))?;
    let arguments: Vec<Value> = call.arguments.into_iter().map(value_of).collect();
    session.call(function, &arguments).map_err(|halt| failure_of(halt, session, None))
}

fn value_of(literal: Literal) -> Value {
    match literal {
        Literal::None => Value::Null,
        Literal::Bool(value) => Value::Bool(value),
        Literal::Number(value) => Value::Number(value),
        Literal::Text(text) => Value::Text(text),
        Literal::List(list) => Value::List(list.into_iter().map(value_of).collect()),
    }
}
