//! Takes the pictures in `docs/page`: the page of a server with the shipped models, in Chromium.
//! Run by `cargo xtask screenshots`; another folder can be named: `-- FOLDER`.

#![allow(clippy::unwrap_used, reason = "a panic shows what went wrong with the pictures")]

use std::fs;
use std::path::{Path, PathBuf};

use integration_tests::{Browser, Programs, Screen, listen, routes_of};

/// The shipped model takes eight steps.
const LONG: &str = "...7.36.......8.3..5..2.1...759..8...6..8....9......6...3...54.8...5.........4..9";
/// It solves this one after a restart only.
const HARD: &str = ".59..1.3.6.......2...8.4...........55.....17..37.4..9.9.....4....43...2.3...2.6..";
/// An evaluation task that the shipped model solves.
const ARC_TASK: &str = "66e6c45b";
/// Its shortest path goes the long way round.
const MAZE: &str =
    ".....#S..#/##.#####.#/.#.....#.#/.#####.#.#/..G#...#.#/##.#.#.#.#/.#.#.#...#/.#.#.###.#/.......#.#/##########";

#[tokio::main]
async fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(|| project().join("docs/page"), PathBuf::from);
    let Some(programs) = Programs::find() else {
        eprintln!("no pictures without a browser: {}", Programs::HOW);
        std::process::exit(1);
    };
    fs::create_dir_all(&folder).unwrap();
    let models = shipped();
    let models: Vec<&Path> = models.iter().map(PathBuf::as_path).collect();
    let photographer = Photographer { programs, address: listen(routes_of(&models)).await, folder };
    photographer.solved().await;
    photographer.solving().await;
    photographer.contradiction().await;
    photographer.restarts().await;
    photographer.maze().await;
    photographer.arc().await;
    photographer.phone().await;
}

struct Photographer {
    programs: Programs,
    address: String,
    folder: PathBuf,
}

impl Photographer {
    async fn visit(&self, screen: Screen, hash: &str) -> Browser {
        let browser = Browser::open(&self.programs, screen, &[]).await;
        browser.window.goto(&format!("{}/{hash}", self.address)).await.unwrap();
        browser.wait_until("document.getElementById('footer').textContent.includes('version')").await;
        browser
    }

    async fn take(&self, browser: &Browser, name: &str) {
        let path = self.folder.join(name);
        fs::write(&path, browser.window.screenshot().await.unwrap()).unwrap();
        println!("{}", path.display());
    }

    async fn solved(&self) {
        let browser = self.visit(DESKTOP, "").await;
        browser.click("#solve").await;
        browser.wait_until(&in_state("verified")).await;
        browser.wait_until(AT_REST).await;
        self.take(&browser, "solved.png").await;
    }

    async fn solving(&self) {
        let browser = self.visit(DESKTOP, &format!("#sudoku={LONG}")).await;
        browser.click("#theme").await;
        browser.window.execute("document.getElementById('speed').value = '480'", Vec::new()).await.unwrap();
        browser.click("#solve").await;
        browser.wait_until("document.getElementById('position').textContent.startsWith('Step 6 ')").await;
        self.take(&browser, "thinking.png").await;
    }

    async fn contradiction(&self) {
        let browser = self.visit(DESKTOP, "").await;
        browser.click("#sudoku-board .cell:nth-child(2)").await;
        browser.press("3").await;
        browser.click("#solve").await;
        browser.wait_until(&in_state("contradictory")).await;
        browser.wait_until(AT_REST).await;
        self.take(&browser, "contradiction.png").await;
    }

    async fn restarts(&self) {
        let browser = self.visit(DESKTOP, &format!("#sudoku={HARD}")).await;
        browser.click("#theme").await;
        let fields = "for (const [name, value] of [['halting', 'fixed'], ['augmentations', '5'], ['max_steps', '12']]) \
                      document.querySelector(`#options [name=${name}]`).value = value; \
                      document.getElementById('speed').value = '0'";
        browser.window.execute(fields, Vec::new()).await.unwrap();
        browser.click("#solve").await;
        browser.wait_until("document.getElementById('facts').childElementCount").await;
        browser.wait_until(AT_REST).await;
        self.take(&browser, "restarts.png").await;
    }

    async fn arc(&self) {
        let browser = self.visit(DESKTOP, &format!("#arc={ARC_TASK}")).await;
        browser.wait_until("document.querySelectorAll('#arc-task canvas').length >= 4").await;
        browser.click("#solve").await;
        browser.wait_until("['verified', 'unverified'].includes(document.getElementById('mind').dataset.state)").await;
        self.take(&browser, "arc.png").await;
    }

    async fn maze(&self) {
        let browser = self.visit(DESKTOP, &format!("#maze={}", MAZE.replace('#', "%23"))).await;
        browser.click("#solve").await;
        browser.wait_until(&in_state("verified")).await;
        browser.wait_until(AT_REST).await;
        self.take(&browser, "maze.png").await;
    }

    async fn phone(&self) {
        let browser = self.visit(Screen::Phone(360, 1240, 1.25), "").await;
        browser.click("#solve").await;
        browser.wait_until(&in_state("verified")).await;
        browser.window.execute("scrollTo(0, 0)", Vec::new()).await.unwrap();
        browser.wait_until(AT_REST).await;
        self.take(&browser, "phone.png").await;
    }
}

const DESKTOP: Screen = Screen::Desktop(1280, 1010);

/// Nothing glows, turns or fades any more.
const AT_REST: &str = "document.getAnimations().every(one => one.playState === 'finished')";

fn in_state(state: &str) -> String {
    format!("document.getElementById('mind').dataset.state === '{state}'")
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shipped() -> Vec<PathBuf> {
    let folders = fs::read_dir(project().join("models/shipped")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folders.filter(|folder| folder.join("manifest.json").is_file()).collect();
    folders.sort();
    folders
}
