//! The conditions of an App's `health.cel`, evaluated with bounds. The parser and
//! the interpreter are a library's; here is what makes them safe to feed with
//! text from a tenant: names are checked before anything runs, a field of
//! something that has no fields is an error instead of `false`, and what an
//! evaluation may cost is limited whatever it says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use cel::extractors::This;
use cel::parser::Parser;
use cel::{Context, ExecutionError, Value as CelValue};
use rimward_proto::limits::EXPRESSION_BYTES;
use serde_json::Value;

use super::text::{Clip, HEALTH_BYTES};

/// Deepest nesting of parentheses, brackets and `? :`: the parser recurses, and its frames are large.
const NESTING: u16 = 24;
/// Deepest expression tree, such as a long `a.b.c…`: the interpreter recurses.
const TREE_DEPTH: usize = 64;
/// Stack for what [`NESTING`] and [`TREE_DEPTH`] allow: three times what the deepest takes in a build without
/// optimisation, where a frame is a hundred kilobytes. Pages that are not touched cost nothing.
const STACK: usize = 16 << 20;
/// Most loops (`all`, `exists`, `map`, `filter`) inside one another: lists of a status are lists of lists at most.
const LOOPS: usize = 2;
/// Most additions: each may double a text or a list.
const SUMS: usize = 16;
/// Deepest object that is judged; converting it recurses.
const OBJECT_DEPTH: usize = 64;
/// Largest object that is judged, in values, a long text counting as several ([`VALUE_BYTES`]).
const OBJECT_VALUES: usize = 20_000;
/// A text of this many bytes counts as one value.
const VALUE_BYTES: usize = 64;
/// What all loops of one evaluation may cost together, in nodes of the expression times the object's thousands of
/// values: a hundred conditions looked through ten times, and about a second at the very worst.
const COST: u64 = 20_000;
/// See [`COST`].
const COST_VALUES: usize = 1_000;
/// A turn of a loop that makes a list costs this many times more: the interpreter copies the list at each.
const COST_LIST: usize = 20;

/// What an expression may call. No time and no regular expressions: the first would make health depend on when one
/// looks, the second cost what the pattern likes.
const FUNCTIONS: [&str; 7] = ["size", "contains", "startsWith", "endsWith", "string", "int", "double"];
/// Operators, and what the macros make of loops.
const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
];
/// The object, under the name that Kubernetes' policies use.
const OBJECT: &str = "object";
/// The same, under the name that its CRDs use.
const ALIAS: &str = "self";
const CANNOT_PARSE: &str = "cannot be parsed";
/// Counts one turn of a loop; not a name that an expression can write.
const TURN: &str = "@turn";

/// An expression that may be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    root: IdedExpr,
}

/// An object as expressions see it: without `managedFields`, which are large and say nothing about health.
pub struct Subject {
    context: Context<'static>,
    spent: Arc<AtomicU64>,
}

impl Expression {
    /// Parses and checks; the error is for people.
    pub fn compile(text: &str) -> Result<Self, String> {
        if text.len() > EXPRESSION_BYTES {
            return Err(format!("is {} bytes long, at most {EXPRESSION_BYTES}", text.len()));
        }
        guarded(|| {
            let parsed = Parser::new().max_recursion_depth(NESTING).parse(text);
            let mut root = parsed.map_err(|errors| match errors.errors.first() {
                Some(error) if error.msg.contains("Recursion limit") => {
                    format!("is nested deeper than {NESTING}")
                }
                Some(error) => error.msg.clone().clip(HEALTH_BYTES),
                None => CANNOT_PARSE.to_owned(),
            })?;
            Check::default().walk(&mut root, 0)?;
            Ok(Self { root })
        })
        .unwrap_or_else(|| Err(CANNOT_PARSE.to_owned()))
    }

    /// True or false of the object; the error is for people.
    pub fn holds(&self, subject: &Subject) -> Result<bool, String> {
        subject.spent.store(0, Ordering::Relaxed);
        let value = guarded(|| CelValue::resolve(&self.root, &subject.context));
        match value.ok_or("cannot be evaluated")? {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("is {}, neither true nor false", other.type_of())),
            Err(ExecutionError::NoSuchKey(key)) => Err(format!("there is no {key:?}").clip(HEALTH_BYTES)),
            Err(ExecutionError::NoSuchOverload) => {
                Err("an operation does not fit the types found".to_owned())
            }
            Err(error) => Err(error.to_string().clip(HEALTH_BYTES)),
        }
    }
}

/// Runs the library's code: it recurses with large frames, and it has corners that panic. Neither may end the spoke,
/// whatever a tenant writes. None if it panicked.
fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| stacker::maybe_grow(STACK, STACK, run))).ok()
}

impl Subject {
    /// From a whole object; the error is for people.
    pub fn new(object: &Value) -> Result<Self, String> {
        let mut values = 0;
        let value = convert(object, 0, &mut values)?;
        let spent = Arc::new(AtomicU64::new(0));
        let mut context = Context::empty();
        guarded(|| context.add_variable_from_value(OBJECT, value)).ok_or("the object cannot be read")?;
        add_functions(&mut context);
        let (counter, weight) = (spent.clone(), 1 + values / COST_VALUES);
        context.add_function(TURN, move |cost: i64| {
            let cost = u64::try_from(cost).unwrap_or(u64::MAX).saturating_mul(weight as u64);
            let before = counter.fetch_add(cost, Ordering::Relaxed);
            if before.saturating_add(cost) <= COST {
                Ok(true)
            } else {
                Err(ExecutionError::function_error("loop", "the condition costs too much on this object"))
            }
        });
        Ok(Self { context, spent })
    }
}

/// The library's own of these are lenient: a text function of something else says false. Here it is an error.
fn add_functions(context: &mut Context<'_>) {
    context.add_function("size", |This(this): This<CelValue>| match this {
        CelValue::List(list) => Ok(list.len() as i64),
        CelValue::Map(map) => Ok(map.map.len() as i64),
        CelValue::String(text) => Ok(text.chars().count() as i64),
        _ => Err(ExecutionError::NoSuchOverload),
    });
    context.add_function("contains", |This(this): This<Arc<String>>, part: Arc<String>| {
        this.contains(part.as_str())
    });
    context.add_function("startsWith", |This(this): This<Arc<String>>, part: Arc<String>| {
        this.starts_with(part.as_str())
    });
    context.add_function("endsWith", |This(this): This<Arc<String>>, part: Arc<String>| {
        this.ends_with(part.as_str())
    });
    context.add_function("string", cel::functions::string);
    context.add_function("int", cel::functions::int);
    context.add_function("double", cel::functions::double);
}

/// JSON knows one kind of number; integers become CEL's `int`, as in Kubernetes, so that they compare and add.
fn convert(value: &Value, depth: usize, values: &mut usize) -> Result<CelValue, String> {
    *values += 1;
    if depth > OBJECT_DEPTH {
        return Err(format!("the object is nested deeper than {OBJECT_DEPTH}"));
    }
    if *values > OBJECT_VALUES {
        return Err(format!("the object has more than {OBJECT_VALUES} values"));
    }
    Ok(match value {
        Value::Null => CelValue::Null,
        Value::Bool(flag) => CelValue::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => CelValue::Int(integer),
            None => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => {
            *values += text.len() / VALUE_BYTES;
            CelValue::String(Arc::new(text.clone()))
        }
        Value::Array(list) => {
            let items = list.iter().map(|item| convert(item, depth + 1, values));
            CelValue::List(Arc::new(items.collect::<Result<_, _>>()?))
        }
        Value::Object(map) => {
            let fields = map.iter().filter(|(name, _)| depth != 1 || *name != "managedFields");
            let fields = fields.map(|(name, field)| Ok((name.clone(), convert(field, depth + 1, values)?)));
            let fields: std::collections::HashMap<String, CelValue> =
                fields.collect::<Result<_, String>>()?;
            CelValue::from(fields)
        }
    })
}

/// What is known on the way down an expression.
#[derive(Default)]
struct Check {
    /// Variables of the loops around.
    scope: Vec<String>,
    loops: usize,
    sums: usize,
}

impl Check {
    /// Checks an expression and rewrites two things in it; returns its nodes.
    fn walk(&mut self, expr: &mut IdedExpr, depth: usize) -> Result<usize, String> {
        if depth > TREE_DEPTH {
            return Err(format!("is nested deeper than {TREE_DEPTH}"));
        }
        let id = expr.id;
        if let Expr::Select(select) = &mut expr.expr
            && !select.test
        {
            // The interpreter says `false` for a field of something that has no fields, and copies what it looks
            // into; an index does neither.
            let SelectExpr { operand, field, .. } = std::mem::take(select);
            let field = Expr::Literal(LiteralValue::String(field.as_str().into()));
            let args = vec![*operand, IdedExpr { id, expr: field }];
            expr.expr = Expr::Call(CallExpr { func_name: operators::INDEX.to_owned(), target: None, args });
        }
        let deeper = depth + 1;
        let mut nodes = 1;
        match &mut expr.expr {
            Expr::Literal(_) => {}
            Expr::Ident(name) if self.scope.contains(name) || name == OBJECT => {}
            Expr::Ident(name) if name == ALIAS => OBJECT.clone_into(name),
            Expr::Ident(name) => return Err(format!("there is no {name:?}; the object is called `object`")),
            Expr::Select(select) => nodes += self.walk(&mut select.operand, deeper)?,
            Expr::Call(call) => {
                self.allow(call)?;
                for part in call.target.iter_mut().map(|target| &mut **target).chain(&mut call.args) {
                    nodes += self.walk(part, deeper)?;
                }
            }
            Expr::List(list) => {
                for item in &mut list.elements {
                    nodes += self.walk(item, deeper)?;
                }
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                        return Err("has a map with fields instead of keys".to_owned());
                    };
                    nodes += self.walk(&mut entry.key, deeper)? + self.walk(&mut entry.value, deeper)?;
                }
            }
            Expr::Comprehension(each) => {
                self.loops += 1;
                if self.loops > LOOPS {
                    return Err(format!("has more than {LOOPS} loops inside one another"));
                }
                nodes += self.walk(&mut each.iter_range, deeper)? + self.walk(&mut each.accu_init, deeper)?;
                let known = self.scope.len();
                self.scope.extend([each.iter_var.clone(), each.accu_var.clone()]);
                self.scope.extend(each.iter_var2.clone());
                let body =
                    self.walk(&mut each.loop_cond, deeper)? + self.walk(&mut each.loop_step, deeper)?;
                nodes += body + self.walk(&mut each.result, deeper)?;
                self.scope.truncate(known);
                self.loops -= 1;
                let makes_list = matches!(each.accu_init.expr, Expr::List(_));
                let cost = if makes_list { body * COST_LIST } else { body };
                each.loop_cond = counted(std::mem::take(&mut each.loop_cond), cost);
            }
            Expr::Struct(_) | Expr::Unspecified => return Err("makes something that is not JSON".to_owned()),
        }
        Ok(nodes)
    }

    fn allow(&mut self, call: &CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        let operator = OPERATORS.contains(&name) || name == operators::IN;
        if !operator && !FUNCTIONS.contains(&name) {
            return Err(format!("there is no function {name:?}; there are {}", FUNCTIONS.join(", ")));
        }
        self.sums += usize::from(name == operators::ADD);
        if self.sums > SUMS { Err(format!("has more than {SUMS} additions")) } else { Ok(()) }
    }
}

/// The condition of a loop that pays for each turn first.
fn counted(condition: IdedExpr, cost: usize) -> IdedExpr {
    let id = condition.id;
    let cost = i64::try_from(cost).unwrap_or(i64::MAX);
    let cost = IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(cost.into())) };
    let call = |name: &str, args| CallExpr { func_name: name.to_owned(), target: None, args };
    let turn = IdedExpr { id, expr: Expr::Call(call(TURN, vec![cost])) };
    IdedExpr { id, expr: Expr::Call(call(operators::LOGICAL_AND, vec![turn, condition])) }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subject")
    }
}
