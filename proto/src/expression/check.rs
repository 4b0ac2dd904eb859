//! What an expression may say, looked at once before it ever runs.

use std::collections::BTreeMap;

use ::cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::subject::{EACH, TURN};
use super::{Paths, Vocabulary};

/// Deepest expression tree, such as a long `a.b.c…`: the interpreter recurses.
const TREE_DEPTH: usize = 64;
/// Most loops (`all`, `exists`, `map`, `filter`) inside one another: lists of an object are lists of lists at most.
const LOOPS: usize = 2;
/// Most additions: each may double a text or a list.
const SUMS: usize = 16;
/// A turn of a loop that makes a list costs this many times more: the interpreter copies the list at each.
const COST_LIST: usize = 20;

/// What an expression may call. No time and no regular expressions: the first would make the result depend on when one
/// looks, the second cost what the pattern likes.
const FUNCTIONS: [&str; 7] = ["size", "contains", "startsWith", "endsWith", "string", "int", "double"];
/// Operators, and what the macros make of loops.
const OPERATORS: [&str; 19] = [
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
    operators::IN,
    operators::NOT_STRICTLY_FALSE,
];

/// What is known on the way down an expression.
pub(super) struct Check<'v> {
    vocabulary: &'v Vocabulary,
    /// What it looks at, by variable.
    pub reads: BTreeMap<&'static str, Paths>,
    /// Variables of the loops around.
    scope: Vec<String>,
    loops: usize,
    sums: usize,
    /// True on the way down a chain of fields whose whole length is written down already.
    within: bool,
}

impl<'v> Check<'v> {
    pub fn new(vocabulary: &'v Vocabulary) -> Self {
        let (reads, scope) = (BTreeMap::new(), Vec::new());
        Self { vocabulary, reads, scope, loops: 0, sums: 0, within: false }
    }

    /// Checks an expression and rewrites three things in it; returns its nodes.
    pub fn walk(&mut self, expr: &mut IdedExpr, depth: usize) -> Result<usize, String> {
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
            expr.expr = call(operators::INDEX, vec![*operand, text(id, &field)]);
        }
        let begun = !self.within && self.write_down(expr);
        self.within |= begun;
        let nodes = self.parts(expr, id, depth + 1);
        self.within &= !begun;
        nodes
    }

    fn parts(&mut self, expr: &mut IdedExpr, id: u64, deeper: usize) -> Result<usize, String> {
        let mut nodes = 1;
        match &mut expr.expr {
            Expr::Literal(_) => {}
            Expr::Ident(name) => self.name(name)?,
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
                let range = std::mem::take(&mut each.iter_range);
                each.iter_range = IdedExpr { id, expr: call(EACH, vec![range]) };
            }
            Expr::Struct(_) | Expr::Unspecified => return Err("makes something that is not JSON".to_owned()),
        }
        Ok(nodes)
    }

    fn name(&mut self, name: &mut String) -> Result<(), String> {
        if self.scope.contains(name) {
            return Ok(());
        }
        match self.variable(name) {
            Some(variable) => {
                variable.clone_into(name);
                Ok(())
            }
            None => {
                let known: Vec<String> =
                    self.vocabulary.variables.iter().map(|name| format!("`{name}`")).collect();
                let known = known.join(", ");
                Err(match self.vocabulary.variables.len() {
                    1 => format!("there is no {name:?}; the object is called {known}"),
                    _ => format!("there is no {name:?}; there are {known}"),
                })
            }
        }
    }

    /// The variable that a name means, unless it is one of a loop.
    fn variable(&self, name: &str) -> Option<&'static str> {
        let Vocabulary { variables, aliases } = self.vocabulary;
        let known = variables.iter().find(|variable| **variable == name).copied();
        known.or_else(|| aliases.iter().find(|(alias, _)| *alias == name).map(|(_, variable)| *variable))
    }

    /// Writes down what a chain of fields reads, if this is the whole of one.
    fn write_down(&mut self, expr: &IdedExpr) -> bool {
        let Some((name, path)) = chain(expr) else { return false };
        if self.scope.iter().any(|known| known == name) {
            return false;
        }
        let Some(variable) = self.variable(name) else { return false };
        self.reads.entry(variable).or_default().insert(path);
        true
    }

    fn allow(&mut self, call: &CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) {
            return Err(format!("there is no function {name:?}; there are {}", FUNCTIONS.join(", ")));
        }
        self.sums += usize::from(name == operators::ADD);
        if self.sums > SUMS { Err(format!("has more than {SUMS} additions")) } else { Ok(()) }
    }
}

/// The name at the beginning of a chain of literal fields, such as `object.a['b']` or `has(object.a.b)`, and the fields.
fn chain(expr: &IdedExpr) -> Option<(&str, Vec<String>)> {
    let mut fields = Vec::new();
    let mut at = expr;
    loop {
        let (operand, field) = match &at.expr {
            Expr::Ident(name) => {
                fields.reverse();
                return Some((name, fields));
            }
            Expr::Select(select) => (&*select.operand, select.field.clone()),
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] => {
                    (operand, field.inner().to_owned())
                }
                _ => return None,
            },
            _ => return None,
        };
        fields.push(field);
        at = operand;
    }
}

fn call(name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args })
}

fn text(id: u64, text: &str) -> IdedExpr {
    IdedExpr { id, expr: Expr::Literal(LiteralValue::String(text.into())) }
}

/// The condition of a loop that pays for each turn first.
fn counted(condition: IdedExpr, cost: usize) -> IdedExpr {
    let id = condition.id;
    let cost = i64::try_from(cost).unwrap_or(i64::MAX);
    let cost = IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(cost.into())) };
    let turn = IdedExpr { id, expr: call(TURN, vec![cost]) };
    IdedExpr { id, expr: call(operators::LOGICAL_AND, vec![turn, condition]) }
}
