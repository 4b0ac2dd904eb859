//! What expressions are evaluated on, and what that may cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::cel::extractors::This;
use ::cel::{Context, ExecutionError, Value as CelValue};
use serde_json::Value;

use super::Fault;

/// Deepest object that is judged; converting it recurses.
const OBJECT_DEPTH: usize = 64;
/// A text of this many bytes counts as one value.
const VALUE_BYTES: usize = 64;
/// Steps are nodes of an expression times the thousands of values of what it is evaluated on: that much a node may have
/// to compare or copy.
const COST_VALUES: u64 = 1_000;
/// Counts one turn of a loop; not a name that an expression can write.
pub(super) const TURN: &str = "@turn";
/// What a loop goes through: a list as it is, a map's keys in their order.
pub(super) const EACH: &str = "@each";

/// What one evaluation may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Largest object, in values, a long text counting as several.
    pub values: u64,
    /// What all loops of one evaluation may cost together, in steps: nodes of the expression times the thousands of
    /// values of the object.
    pub cost: u64,
}

/// What was spent, in steps. Shared with the function that counts turns.
#[derive(Debug, Default)]
struct Meter {
    /// Thousands of values, rounded up.
    weight: AtomicU64,
    /// By loops, in this evaluation.
    loops: AtomicU64,
    /// By everything, since the subject was made.
    all: AtomicU64,
}

/// Variables as expressions see them: objects without `metadata.managedFields`, which are large and nobody's wish.
pub struct Subject {
    context: Context<'static>,
    bounds: Bounds,
    /// Values of each variable.
    values: Vec<(&'static str, u64)>,
    meter: Arc<Meter>,
}

impl Subject {
    /// Without a variable yet.
    pub fn new(bounds: Bounds) -> Self {
        let meter = Arc::new(Meter::default());
        let mut context = Context::empty();
        add_functions(&mut context);
        let counter = meter.clone();
        context.add_function(TURN, move |cost: i64| {
            let weight = counter.weight.load(Ordering::Relaxed);
            let cost = u64::try_from(cost).unwrap_or(u64::MAX).saturating_mul(weight);
            let before = counter.loops.fetch_add(cost, Ordering::Relaxed);
            if before.saturating_add(cost) <= bounds.cost {
                Ok(true)
            } else {
                Err(ExecutionError::function_error(TURN, "too many"))
            }
        });
        Self { context, bounds, values: Vec::new(), meter }
    }

    /// Gives a variable its value, in the place of the one it had.
    pub fn set(&mut self, name: &'static str, value: &Value) -> Result<(), Fault> {
        self.values.retain(|(known, _)| *known != name);
        let mut values = 0;
        let value = convert(value, 0, &mut values, self.bounds.values).map_err(Fault::Bound)?;
        let context = &mut self.context;
        super::guarded(|| context.add_variable_from_value(name, value)).ok_or(Fault::Broken)?;
        self.values.push((name, values));
        let all: u64 = self.values.iter().map(|(_, values)| values).sum();
        self.meter.weight.store(1 + all / COST_VALUES, Ordering::Relaxed);
        Ok(())
    }

    /// Steps of all evaluations so far, those outside of loops too.
    pub fn spent(&self) -> u64 {
        self.meter.all.load(Ordering::Relaxed) + self.meter.loops.load(Ordering::Relaxed)
    }

    pub(super) fn context(&self) -> &Context<'static> {
        &self.context
    }

    pub(super) fn begin(&self, nodes: u64) {
        let loops = self.meter.loops.swap(0, Ordering::Relaxed);
        let own = nodes.saturating_mul(self.meter.weight.load(Ordering::Relaxed));
        self.meter.all.fetch_add(loops.saturating_add(own), Ordering::Relaxed);
    }

    pub(super) fn exhausted(&self) -> bool {
        self.meter.loops.load(Ordering::Relaxed) > self.bounds.cost
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
    context.add_function("string", ::cel::functions::string);
    context.add_function("int", ::cel::functions::int);
    context.add_function("double", ::cel::functions::double);
    // The library's maps have no order, and what a loop finds first may be what it says.
    context.add_function(EACH, |range: CelValue| match range {
        CelValue::List(list) => Ok(CelValue::List(list)),
        CelValue::Map(map) => {
            let mut keys: Vec<_> = map.map.keys().cloned().collect();
            keys.sort();
            Ok(CelValue::List(Arc::new(keys.into_iter().map(CelValue::from).collect())))
        }
        _ => Err(ExecutionError::NoSuchOverload),
    });
}

/// JSON knows one kind of number; integers become CEL's `int`, as in Kubernetes, so that they compare and add.
fn convert(value: &Value, depth: usize, values: &mut u64, most: u64) -> Result<CelValue, String> {
    *values += 1;
    if depth > OBJECT_DEPTH {
        return Err(format!("the object is nested deeper than {OBJECT_DEPTH}"));
    }
    if *values > most {
        return Err(format!("the object has more than {most} values"));
    }
    Ok(match value {
        Value::Null => CelValue::Null,
        Value::Bool(flag) => CelValue::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => CelValue::Int(integer),
            None => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => {
            *values += (text.len() / VALUE_BYTES) as u64;
            CelValue::String(Arc::new(text.clone()))
        }
        Value::Array(list) => {
            let items = list.iter().map(|item| convert(item, depth + 1, values, most));
            CelValue::List(Arc::new(items.collect::<Result<_, _>>()?))
        }
        Value::Object(map) => {
            let fields = map.iter().filter(|(name, _)| depth != 1 || *name != "managedFields");
            let fields =
                fields.map(|(name, field)| Ok((name.clone(), convert(field, depth + 1, values, most)?)));
            let fields: std::collections::HashMap<String, CelValue> =
                fields.collect::<Result<_, String>>()?;
            CelValue::from(fields)
        }
    })
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subject")
    }
}
