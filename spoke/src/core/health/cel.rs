//! The conditions of an App's `health.cel`, evaluated with the bounds of a
//! spoke: what they may say is the same on the hub, what they may cost is not.

use rimward_proto::expression::{Bounds, Expression, HEALTH, Subject};
use serde_json::Value;

use super::text::{Clip, HEALTH_BYTES};

/// Values: ten times a large Deployment with its status. Cost: a hundred conditions looked through ten times, and about
/// a second at the very worst.
const BOUNDS: Bounds = Bounds { values: 20_000, cost: 20_000 };

/// Parses and checks; the error is for people.
pub fn compile(text: &str) -> Result<Expression, String> {
    Expression::compile(text, &HEALTH).map_err(|error| error.clip(HEALTH_BYTES))
}

/// A whole object, for conditions to be evaluated on; the error is for people.
pub fn subject(object: &Value) -> Result<Subject, String> {
    let mut subject = Subject::new(BOUNDS);
    subject.set("object", object).map_err(|fault| fault.to_string().clip(HEALTH_BYTES))?;
    Ok(subject)
}

/// True or false of the object; the error is for people.
pub fn holds(expression: &Expression, subject: &Subject) -> Result<bool, String> {
    expression.holds(subject).map_err(|fault| fault.to_string().clip(HEALTH_BYTES))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_is_short() {
        let long = "x".repeat(900);
        let error = compile(&format!("{long}.a")).unwrap_err();
        assert!(error.contains("there is no") && error.len() <= HEALTH_BYTES, "{error}");
        let missing = compile(&format!("object.{long} == 1")).unwrap();
        let error = holds(&missing, &subject(&json!({"status": {}})).unwrap()).unwrap_err();
        assert!(error.contains("there is no") && error.len() <= HEALTH_BYTES, "{error}");
        let big = json!({"status": (0..30_000).collect::<Vec<_>>()});
        assert!(subject(&big).unwrap_err().contains("20000 values"));
    }
}
