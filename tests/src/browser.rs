//! A headless Chromium that visits a page, by way of chromedriver: finding the programs, starting and ending them.
//! Leaves what is on the page to the tests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

/// Chromium and its driver on this machine.
#[derive(Debug, Clone)]
pub struct Programs {
    chromium: PathBuf,
    driver: PathBuf,
}

/// What is looked through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Screen {
    /// A window of so many pixels.
    Desktop(u32, u32),
    /// A telephone with a touch screen of so many CSS pixels, each drawn with so many of its own.
    Phone(u32, u32, f64),
}

/// A browser with one window. Dropping it ends its programs, also when a test panics.
#[derive(Debug)]
pub struct Browser {
    /// The window.
    pub window: Client,
    _driver: Driver,
}

/// A running chromedriver and the folder that its browsers write to.
#[derive(Debug)]
struct Driver {
    child: Child,
    port: u16,
    profile: TempDir,
}

impl Programs {
    /// How to get them.
    pub const HOW: &str = "install Chromium and its driver (Debian: apt-get install chromium chromium-driver), then run \
                           `cargo test --package integration-tests --test page`";

    /// Both programs from `PATH`; `None` when one is missing.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let find = |names: &[&str]| {
            let folders = std::env::split_paths(&path);
            folders.flat_map(|folder| names.iter().map(move |name| folder.join(name))).find(|program| program.is_file())
        };
        Some(Self {
            chromium: find(&["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"])?,
            driver: find(&["chromedriver"])?,
        })
    }
}

impl Browser {
    /// Opens a window on an empty page, with further switches for Chromium.
    pub async fn open(programs: &Programs, screen: Screen, switches: &[&str]) -> Self {
        let driver = Driver::start(programs);
        let mut arguments: Vec<String> = SWITCHES.iter().chain(switches).map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", driver.profile.path().display()));
        let mut options = json!({ "binary": programs.chromium });
        match screen {
            Screen::Desktop(width, height) => arguments.push(format!("--window-size={width},{height}")),
            Screen::Phone(width, height, ratio) => {
                let metrics = json!({ "width": width, "height": height, "pixelRatio": ratio, "touch": true });
                options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
            }
        }
        options["args"] = json!(arguments);
        let capabilities = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "performance": "ALL" } });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let window = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .unwrap_or_else(|error| panic!("{} does not start: {error}", programs.chromium.display()));
        Self { window, _driver: driver }
    }

    /// The value of an expression in the page.
    pub async fn evaluate(&self, expression: &str) -> Value {
        self.window.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
    }

    /// Returns once an expression in the page is true; panics with what the page shows when it takes more than a minute.
    pub async fn wait_until(&self, expression: &str) {
        for _ in 0..1200 {
            if self.evaluate(&format!("Boolean({expression})")).await == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let shown = self.text("body").await;
        panic!("a minute has passed and it is not so that {expression}; the page shows:\n{shown}");
    }

    /// Addresses that the window has asked for since the last call, whether it got an answer or not; without those of the
    /// browser's own first page, which come out of its program.
    pub async fn requested(&self) -> Vec<String> {
        let log = self.window.issue_cmd(PerformanceLog).await.unwrap();
        let messages = log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap());
        let events = messages.map(|message| serde_json::from_str::<Value>(message).unwrap()["message"].take());
        let requests = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        let addresses = requests.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned());
        addresses.filter(|address| !address.starts_with("chrome://")).collect()
    }

    /// Clicks on the first element that a CSS selector finds.
    pub async fn click(&self, css: &str) {
        self.window.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// What the first element that a CSS selector finds shows as text.
    pub async fn text(&self, css: &str) -> String {
        self.window.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    /// Presses keys wherever the focus is.
    pub async fn press(&self, keys: &str) {
        self.window.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }
}

/// What Chromium's network has done since the last time, a command of chromedriver's own.
#[derive(Debug)]
struct PerformanceLog;

impl WebDriverCompatibleCommand for PerformanceLog {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/se/log", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "type": "performance" }).to_string()))
    }
}

/// So that it starts as any user, also as root, and connects only to the page's server.
const SWITCHES: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

impl Driver {
    fn start(programs: &Programs) -> Self {
        let mut child = Command::new(&programs.driver)
            .args(["--port=0", "--log-level=SEVERE"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", programs.driver.display()));
        let said = BufReader::new(child.stdout.take().unwrap());
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.trim_end_matches('.').rsplit_once("started successfully on port ")?;
            port.parse().ok()
        });
        Self { child, port: port.expect("chromedriver says its port"), profile: tempfile::tempdir().unwrap() }
    }

    /// Asks it to end its browsers and itself.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        connection.write_all(b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        connection.read_to_end(&mut Vec::new()).map(|_| ())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.shut_down().is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
