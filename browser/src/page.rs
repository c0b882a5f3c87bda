//! One browser with one page, as its user sees it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use crate::until;
use crate::wire::{Cdp, Console};

/// Keys that write nothing, as a driver names them.
pub mod keys {
    /// To the next element.
    pub const TAB: char = '\u{e004}';
    /// Presses a button, sends a form.
    pub const ENTER: char = '\u{e007}';
    /// Held down with another key.
    pub const CONTROL: char = '\u{e009}';
    /// Leaves.
    pub const ESCAPE: char = '\u{e00c}';
}

/// How large the page is shown, in CSS pixels.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
}

impl Size {
    /// A window on a desk.
    pub const DESK: Self = Self {
        width: 1_280,
        height: 800,
    };
    /// A small phone.
    pub const PHONE: Self = Self {
        width: 360,
        height: 740,
    };
}

/// A browser with one page; it ends with its driver.
#[derive(Clone, Debug)]
pub struct Page {
    client: Client,
    profile: PathBuf,
}

impl Page {
    pub(crate) fn new(client: Client, profile: PathBuf) -> Self {
        Self { client, profile }
    }

    /// Where this browser keeps its own.
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// Opens an address.
    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect(url);
    }

    /// The body of a function without arguments; its value.
    pub async fn js(&self, script: &str) -> Value {
        self.call(script, vec![]).await
    }

    /// The body of a function of `arguments`; its value.
    pub async fn call(&self, script: &str, arguments: Vec<Value>) -> Value {
        let value = self.client.execute(script, arguments).await;
        value.unwrap_or_else(|e| panic!("{e}: {script}"))
    }

    /// The value of an expression, of which nothing stays in the page. What [`Page::js`] gives stays there
    /// as a string: chromedriver's way.
    pub async fn value(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.cdp("Runtime.evaluate", params).await;
        let failed = answer.get("exceptionDetails");
        assert!(failed.is_none(), "{failed:?}: {expression}");
        answer["result"]["value"].take()
    }

    /// Asks until the value is neither null nor false, and gives it.
    pub async fn until(&self, what: &str, script: &str) -> Value {
        until(what, async || {
            let value = self.js(script).await;
            (!value.is_null() && value != false).then_some(value)
        })
        .await
    }

    /// Waits for an element.
    pub async fn sees(&self, css: &str) {
        let script = format!("return document.querySelector({}) !== null", json!(css));
        self.until(css, &script).await;
    }

    /// Clicks where the element is, as soon as it is there.
    pub async fn click(&self, css: &str) {
        self.sees(css).await;
        let element = self.client.find(Locator::Css(css)).await.expect(css);
        element.click().await.expect(css);
    }

    /// Clicks, and types.
    pub async fn write(&self, css: &str, text: &str) {
        self.click(css).await;
        let element = self.client.find(Locator::Css(css)).await.expect(css);
        element.send_keys(text).await.expect(css);
    }

    /// Presses keys one after the other, wherever the focus is.
    pub async fn press(&self, pressed: &[char]) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for &value in pressed {
            actions = actions.then(KeyAction::Down { value });
            actions = actions.then(KeyAction::Up { value });
        }
        self.perform(actions).await;
    }

    /// Presses a key while another one is held down.
    pub async fn press_with(&self, held: char, value: char) {
        let actions = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: held })
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value })
            .then(KeyAction::Up { value: held });
        self.perform(actions).await;
    }

    async fn perform(&self, actions: KeyActions) {
        let done = self.client.perform_actions(actions).await;
        done.expect("keys are pressed");
    }

    /// Types text, wherever the focus is.
    pub async fn types(&self, text: &str) {
        self.press(&text.chars().collect::<Vec<_>>()).await;
    }

    /// The words in a dialog, if one is open.
    pub async fn dialog(&self) -> Option<String> {
        self.client.get_alert_text().await.ok()
    }

    /// A command of the browser's own protocol (`CDP`); what it answers.
    pub async fn cdp(&self, name: &str, params: Value) -> Value {
        let command = Cdp {
            name: name.to_owned(),
            params,
        };
        let answer = self.client.issue_cmd(command).await;
        answer.unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Runs a script before those of each page that is opened from now on.
    pub async fn before_each_page(&self, source: &str) {
        let params = json!({ "source": source });
        self.cdp("Page.addScriptToEvaluateOnNewDocument", params)
            .await;
    }

    /// Errors that the console of the browser showed since it was asked last.
    pub async fn errors(&self) -> Vec<String> {
        let answer = self.client.issue_cmd(Console).await.expect("the console");
        let entries = answer.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|it| it["level"] == "SEVERE");
        severe
            .map(|it| it["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Shows the page in this size from now on.
    pub async fn resize(&self, Size { width, height }: Size) {
        let params = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.cdp("Emulation.setDeviceMetricsOverride", params).await;
    }

    /// As if its user had asked for dark pages, or for light ones.
    pub async fn colours(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": value });
        let params = json!({ "features": [feature] });
        self.cdp("Emulation.setEmulatedMedia", params).await;
    }

    /// A picture of the page as it is, a PNG.
    pub async fn picture(&self) -> Vec<u8> {
        let params = json!({ "format": "png", "optimizeForSpeed": false });
        let answer = self.cdp("Page.captureScreenshot", params).await;
        let data = answer["data"].as_str().expect("a picture");
        STANDARD.decode(data).expect("a picture")
    }

    // ---- the feed page ----

    /// Opens the feed page of a server and logs in.
    pub async fn enter(&self, origin: &str, name: &str) {
        self.goto(&format!("{origin}/")).await;
        self.write("#username", name).await;
        self.click("#login-submit").await;
        self.until_live().await;
        self.sees("#compose-text").await;
    }

    /// Waits until the live timeline runs; the server that it runs on.
    pub async fn until_live(&self) -> String {
        let script = "const { state, server } = document.documentElement.dataset;
            return state === 'live' && server";
        let server = self.until("the page is live", script).await;
        server.as_str().expect("a name").to_owned()
    }

    /// The server that the live timeline runs on.
    pub async fn server(&self) -> String {
        let server = self.js("return document.documentElement.dataset.server");
        server.await.as_str().expect("a name").to_owned()
    }

    /// Writes a post as a user does, and waits until the page has sent it.
    pub async fn post(&self, text: &str) {
        self.write("#compose-text", text).await;
        self.click("#compose-submit").await;
        self.until(
            "the post is sent",
            "return document.querySelector('#compose-text').value === ''",
        )
        .await;
    }

    /// The ids of the posts on the page, from the top.
    pub async fn ids(&self) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll('#feed > article')].map((it) => it.dataset.id)";
        strings(&self.js(script).await)
    }

    /// Waits until a post with this text is on the page.
    pub async fn sees_post(&self, text: &str) {
        let script = format!(
            "return [...document.querySelectorAll('#feed > article .text')].some((it) => it.textContent === {})",
            json!(text)
        );
        self.until(&format!("the post {text:?}"), &script).await;
    }
}

/// A list of strings.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().expect("a list").iter();
    list.map(|it| it.as_str().expect("a string").to_owned())
        .collect()
}
