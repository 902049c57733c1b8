//! The regular expressions of both contracts: written in what all common engines know. `make lint-contract` compiles them in
//! those of other languages.

use crm::service::{asyncapi, contract::contract};
use regex_automata::meta::Regex;
use serde_json::Value;

/// Every pattern of a document, with the examples of its schema.
fn patterns(document: &Value) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut waiting = vec![document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(pattern)) = object.get("pattern") {
                    let examples = [object.get("example"), object.get("default"), object.get("const")];
                    let several = object.get("examples").and_then(Value::as_array).into_iter().flatten();
                    let texts = examples.into_iter().flatten().chain(several).filter_map(Value::as_str);
                    found.push((pattern.clone(), texts.map(str::to_owned).collect()));
                }
                waiting.extend(object.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    found
}

#[test]
fn patterns_are_written_in_what_all_engines_know() {
    let (contract, events) = (contract(), asyncapi::document());
    let all: Vec<_> = [contract.document(), &events].into_iter().flat_map(patterns).collect();
    assert!(all.len() > 20, "{all:?}");
    for (pattern, examples) in all {
        // PCRE and RE2 know no `\u`, and ranges beyond ASCII mean something else where bytes are matched.
        assert!(pattern.is_ascii() && !pattern.contains(r"\u") && !pattern.contains(r"\p"), "{pattern}");
        for (at, _) in pattern.match_indices(r"\x") {
            let code = u8::from_str_radix(&pattern[at + 2..at + 4], 16);
            assert!(code.is_ok_and(|code| code < 0x80), "{pattern}");
        }
        // Nothing that only some engines have: look-around, references, possessive quantifiers.
        for rare in ["(?", r"\k", r"\1", "*+", "++", "?+", r"\d", r"\s", r"\w", r"\b", r"\A", r"\z"] {
            assert!(!pattern.contains(rare), "{rare} in {pattern}");
        }
        let regex = Regex::new(&pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert!(examples.iter().all(|example| regex.is_match(example)), "{pattern} does not match {examples:?}");
    }
}
