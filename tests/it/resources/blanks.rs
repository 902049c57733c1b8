//! Names, titles and texts that cannot be seen.

use serde_json::json;

use crate::harness::Service;

/// Texts in which nothing can be seen.
const BLANKS: &[&str] = &[
    "\u{200b}",
    "\u{200c}\u{200d}",
    "\u{3164}",
    "\u{2800}",
    "\u{2800}\u{200b}\u{2800}",
    "\u{115f}",
    "\u{1160}",
    "\u{ffa0}",
    "\u{34f}",
    "\u{fe0f}",
    "\u{e0100}",
    "\u{e0041}\u{e007f}",
    "\u{202e}",
    "\u{2066}\u{2069}",
    "\u{61c}",
    "\u{ad}",
    "\u{feff}",
    "\u{180e}",
    "\u{2060}\u{2063}",
    "\u{17b4}",
    "\u{206a}",
    "\u{fff9}",
    "\u{301}",
    "\u{20e3}",
    "\u{93e}",
    "\u{1d159}",
    "\u{1d173}",
    "\u{13441}",
    "\u{2800} \u{a0}\u{2800}",
    "\u{200b}\u{2003}\u{200b}",
    // Noncharacters, and numbers that Unicode has given to no character.
    "\u{fdd0}",
    "\u{ffff}",
    "\u{1ffff}",
    "\u{10ffff}",
    "\u{378}",
    "\u{e0fff}",
];

#[tokio::test]
async fn names_titles_and_texts_hold_something_to_be_seen() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let bodies = |text: &str| {
        [
            ("/customers", "name", json!({ "name": text })),
            ("/contacts", "name", json!({ "name": text, "customerId": customer })),
            ("/opportunities", "title", json!({ "title": text, "customerId": customer })),
            ("/follow-ups", "content", json!({ "content": text })),
            ("/follow-ups", "followUpType", json!({ "content": "x", "followUpType": text })),
        ]
    };
    for blank in BLANKS {
        for (path, field, body) in bodies(blank) {
            let refused = service.post(path, body).send().await;
            refused.refused(400, &format!("{field}: must contain a visible character"));
        }
    }
    for seen in [
        "李雷",
        "e\u{301}",
        "\u{200b}x\u{200b}",
        "👨\u{200d}👩\u{200d}👧",
        "❤\u{fe0f}",
        "नि",
        "?",
        "‼",
        "\u{e000}",
        "0",
    ] {
        for (path, field, body) in bodies(seen) {
            assert_eq!(service.create(path, body).await[field], json!(seen), "{seen:?}");
        }
    }
    let lines = json!({ "content": "\u{200b}\n\u{200b}" });
    service.post("/follow-ups", lines).send().await.refused(400, "content: must contain a visible character");
}
