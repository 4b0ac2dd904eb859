//! CEL expressions, checked and evaluated with bounds: the one guard for what
//! people write in `health.cel` and in Guardrails, so that what the hub lets
//! through is what a spoke takes. The parser and the interpreter are a
//! library's; here is what makes them safe to feed with anybody's text: names
//! are checked before anything runs, a field of something that has no fields is
//! an error instead of `false`, maps are gone through in the order of their
//! keys, and what an evaluation may cost is counted in steps, never in time.

mod check;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::cel::common::ast::IdedExpr;
use ::cel::parser::Parser;
use ::cel::{ExecutionError, Value as CelValue};

use self::check::Check;
pub use self::subject::{Bounds, Subject};
use crate::limits::EXPRESSION_BYTES;

/// Deepest nesting of parentheses, brackets and `? :`: the parser recurses, and its frames are large.
const NESTING: u16 = 24;
/// Stack for what [`NESTING`] and the depth of an expression's tree allow: three times what the deepest takes in a build
/// without optimisation, where a frame is a hundred kilobytes. Pages that are not touched cost nothing.
const STACK: usize = 16 << 20;
const CANNOT_PARSE: &str = "is no CEL expression";

/// What expressions of one place may name.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary {
    /// The variables.
    pub variables: &'static [&'static str],
    /// Other names of variables, each with the variable it means.
    pub aliases: &'static [(&'static str, &'static str)],
}

/// Conditions of `health.cel`: the live object, under the name that Kubernetes' policies use, and under the one that its
/// CRDs use.
pub const HEALTH: Vocabulary = Vocabulary { variables: &["object"], aliases: &[("self", "object")] };

/// The fields of a variable that an expression looks at; the empty path is all of it.
pub type Paths = BTreeSet<Vec<String>>;

/// An expression that may be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    root: IdedExpr,
    nodes: u64,
    reads: BTreeMap<&'static str, Paths>,
}

/// Why an evaluation says neither true nor false. What it displays may have keys of the object in it, and never values
/// of its fields; [`Fault::kind`] has neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A field or key that is not there.
    #[error("there is no {0:?}")]
    Missing(String),
    /// An operation on what it is not for.
    #[error("an operation does not fit the types found")]
    Types,
    /// It is a number, a text, a list …
    #[error("is {0}, neither true nor false")]
    NotBoolean(String),
    /// Division by zero, or a number beyond what numbers can be.
    #[error("its arithmetic has no result")]
    Arithmetic,
    /// Over [`Bounds::cost`].
    #[error("it costs too much on this object")]
    Cost,
    /// Over another bound, before anything was evaluated.
    #[error("{0}")]
    Bound(String),
    /// The interpreter has no answer.
    #[error("cannot be evaluated")]
    Broken,
}

impl Fault {
    /// What kind of fault it is, without any word of the object: what may be said about a Secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing(_) => "something that it names is not there",
            Self::Types => "an operation does not fit the types found",
            Self::NotBoolean(_) => "it is neither true nor false",
            Self::Arithmetic => "its arithmetic has no result",
            Self::Cost => "it costs too much on this object",
            Self::Bound(_) => "the object is too large to be judged",
            Self::Broken => "it cannot be evaluated",
        }
    }
}

impl From<ExecutionError> for Fault {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::NoSuchKey(key) => Self::Missing(key.to_string()),
            ExecutionError::IndexOutOfBounds(_) => Self::Missing("item of that number".to_owned()),
            ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..) => Self::Arithmetic,
            ExecutionError::FunctionError { function, .. } if function == subject::TURN => Self::Cost,
            ExecutionError::FunctionError { .. } => Self::Types,
            ExecutionError::UndeclaredReference(_) => Self::Broken,
            // The rest is about types, and has the values in its text.
            _ => Self::Types,
        }
    }
}

impl Expression {
    /// Parses and checks; the error is for people, to be put behind the name of what was written.
    pub fn compile(text: &str, vocabulary: &Vocabulary) -> Result<Self, String> {
        if text.len() > EXPRESSION_BYTES {
            return Err(format!("is {} bytes long, at most {EXPRESSION_BYTES}", text.len()));
        }
        guarded(|| {
            let parsed = Parser::new().max_recursion_depth(NESTING).parse(text);
            let mut root = parsed.map_err(|errors| match errors.errors.first() {
                Some(error) if error.msg.contains("Recursion limit") => {
                    format!("is nested deeper than {NESTING}")
                }
                Some(error) => {
                    let (message, (line, column)) = (error.msg.lines().next().unwrap_or_default(), error.pos);
                    format!("{CANNOT_PARSE}: {message} (line {line}, column {column})")
                }
                None => CANNOT_PARSE.to_owned(),
            })?;
            let mut check = Check::new(vocabulary);
            let nodes = check.walk(&mut root, 0)? as u64;
            Ok(Self { root, nodes, reads: check.reads })
        })
        .unwrap_or_else(|| Err(CANNOT_PARSE.to_owned()))
    }

    /// True or false of the subject.
    pub fn holds(&self, subject: &Subject) -> Result<bool, Fault> {
        subject.begin(self.nodes);
        let value = guarded(|| CelValue::resolve(&self.root, subject.context())).ok_or(Fault::Broken)?;
        // Whatever came out: what was left out for its cost is not known.
        if subject.exhausted() {
            return Err(Fault::Cost);
        }
        match value {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(Fault::NotBoolean(other.type_of().to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// The fields of a variable that it looks at; none if it does not name the variable at all.
    pub fn reads(&self, variable: &str) -> Option<&Paths> {
        self.reads.get(variable)
    }
}

/// Runs `run`, which evaluates many expressions, on one stack that is large enough for all of them.
pub fn together<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK + STACK / 2, 2 * STACK, run)
}

/// Runs the library's code: it recurses with large frames, and it has corners that panic. Neither may end the process,
/// whatever anybody writes. None if it panicked.
fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| stacker::maybe_grow(STACK, STACK, run))).ok()
}
