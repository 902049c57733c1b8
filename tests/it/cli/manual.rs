//! What the command line says of itself.

use sha2::{Digest, Sha256};

use crate::harness::run_crm;

#[test]
fn version_says_what_was_built_from_what() {
    let contract = include_str!("../../../openapi/api_contract.yaml");
    let hash: String = Sha256::digest(contract).iter().map(|byte| format!("{byte:02x}")).collect();
    let version = contract.lines().find_map(|line| line.trim().strip_prefix("version: ")).unwrap();
    let output = run_crm(&["--version"], &[]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], concat!("crm ", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("commit    ") && lines[1].len() > 10, "{output:?}");
    assert_eq!(lines[2], format!("contract  {}, SHA-256 {hash}", version.trim_matches(['\'', '"'])));
    assert!(lines[3].starts_with("SQLite    3."), "{output:?}");
    assert_eq!(run_crm(&["-V"], &[]).stdout, output.stdout);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let commands: Vec<String> = {
        let help = run_crm(&["--help"], &[]).stdout;
        let (_, listed) = help.split_once("Commands:\n").unwrap();
        let lines = listed.lines().take_while(|line| !line.is_empty());
        lines
            .filter_map(|line| line.strip_prefix("  "))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert!(commands.len() > 15 && commands.iter().any(|command| command == "seed"), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run_crm(&["completions", shell], &[]);
        assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""), "{script:?}");
        for command in &commands {
            assert!(script.stdout.contains(command.as_str()), "{shell}: {command}");
        }
    }
    let page = run_crm(&["man"], &[]).stdout;
    assert!(page.contains(".TH crm 1") && page.contains("CRM_DATABASE_URL"), "{page}");
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let written = run_crm(&["man", "--directory", pages.to_str().unwrap()], &[]);
    assert_eq!(written.code, Some(0), "{written:?}");
    for command in commands.iter().filter(|command| *command != "help") {
        assert!(pages.join(format!("crm-{command}.1")).exists(), "{command}: {written:?}");
    }
}

#[test]
fn help_groups_the_variables_by_task() {
    let help = run_crm(&["serve", "--help"], &[]).stdout;
    let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text} is not in {help}"));
    let mut last = 0;
    for variable in crm::config::Config::variables() {
        let task = place(&format!("\n  {}:\n", variable.task));
        let ends = ["\n", " [default: "].map(|end| help.find(&format!("\n    {}{end}", variable.name)));
        let name = ends.into_iter().flatten().next().unwrap_or_else(|| panic!("{} is not in {help}", variable.name));
        assert!(task < name && last < name, "{} is not where its task is", variable.name);
        last = name;
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
}
