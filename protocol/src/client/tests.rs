//! How the client reads answers, and what its errors say.

use super::*;
use crate::error::{Code, ErrorBody};

fn answer(encoding: Encoding, payload: Vec<u8>) -> async_nats::Message {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", encoding.content_type());
    async_nats::Message {
        subject: "_INBOX_alice.1".into(),
        reply: None,
        length: payload.len(),
        payload: payload.into(),
        headers: Some(headers),
        status: None,
        description: None,
    }
}

#[test]
fn an_answer_reads_the_same_in_both_encodings() {
    let reached = StateReached { vm_id: "c1".parse().unwrap(), state: crate::state::VmState::Paused };
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let message = answer(encoding, encode(encoding, &reached).unwrap());
        assert_eq!(read_answer::<StateReached>(&message).unwrap(), reached);
    }
}

#[test]
fn a_refusal_is_an_error_whatever_was_expected() {
    let error = ErrorBody::new(Code::QuotaExceeded, "10 of 10 VMs are in use");
    let reply = ErrorReply { error: error.clone() };
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let message = answer(encoding, encode(encoding, &reply).unwrap());
        let refused = read_answer::<Map<String, Value>>(&message).unwrap_err();
        assert!(matches!(&refused, ClientError::Refused(body) if *body == error), "{refused}");
        assert_eq!(refused.to_string(), "[BX011] 10 of 10 VMs are in use");
    }
}

#[test]
fn an_answer_of_another_shape_is_shown_as_it_starts() {
    let error = read_answer::<StateReached>(&answer(Encoding::Json, b"{\"pong\": 1}".to_vec())).unwrap_err();
    assert!(error.to_string().contains("pong"), "{error}");
}

#[test]
fn an_unknown_outcome_names_the_request_id_to_ask_again_with() {
    let error = ClientError::Timeout { after: Duration::from_secs(10), request_id: Some("r-7".into()) };
    assert!(error.to_string().contains("same request_id r-7"), "{error}");
}
