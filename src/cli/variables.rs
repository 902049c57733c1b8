//! The list of environment variables, for people: in `crm serve --help`, in the manual and in `delivery/README.md`.

use std::fmt::Write as _;

use crate::config::{Config, Variable};

/// How wide a line of help is.
const WIDTH: usize = 100;

/// Where what a variable means begins, in the help.
const INDENT: &str = "        ";

/// The variables of each task, one task after the other.
fn tasks() -> Vec<(&'static str, Vec<Variable>)> {
    let mut tasks: Vec<(&'static str, Vec<Variable>)> = Vec::new();
    for variable in Config::variables() {
        match tasks.last_mut().filter(|(task, _)| *task == variable.task) {
            Some((_, variables)) => variables.push(variable),
            None => tasks.push((variable.task, vec![variable])),
        }
    }
    tasks
}

/// The list for `crm serve --help`.
pub(super) fn help() -> String {
    let mut list = "Environment, which is the only configuration:\n".to_owned();
    for (task, variables) in tasks() {
        let _infallible = writeln!(list, "\n  {task}:");
        for Variable { name, default, meaning, .. } in variables {
            let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
            let _infallible = writeln!(list, "    {name}{default}");
            for line in wrap(&meaning.replace('`', ""), WIDTH - INDENT.len()) {
                let _infallible = writeln!(list, "{INDENT}{line}");
            }
        }
    }
    list.trim_end().to_owned()
}

/// The tables for `delivery/README.md`, in Markdown.
pub(super) fn markdown() -> String {
    let mut tables = String::new();
    for (task, variables) in tasks() {
        let _infallible = writeln!(tables, "**{task}**\n\n| variable | default | meaning |\n|---|---|---|");
        for Variable { name, default, meaning, .. } in variables {
            let default = if default.is_empty() { String::new() } else { format!("`{default}` ") };
            let _infallible = writeln!(tables, "| `{name}` | {default}| {meaning} |");
        }
        tables.push('\n');
    }
    tables.trim_end().to_owned()
}

/// The words of a text, in lines of at most so many characters where no word is longer.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= width) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
