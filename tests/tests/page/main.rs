//! The page in a real browser, in front of the real routes and a shipped model: what a visitor does, and sees.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod arc;
mod docs;
mod key;

use std::ops::Deref;
use std::path::{Path, PathBuf};

use axum::Router;
use datasets::Task;
use datasets::builder::generated::{self, GeneratedBuild, GeneratedMazes};
use datasets::maze::{Maze, MazeRequest, MazeShape};
use datasets::picture::Scene;
use fantoccini::Locator;
use fantoccini::actions::{InputSource, MouseActions, PointerAction};
use fantoccini::key::Key;
use integration_tests::{Browser, Programs, Screen, listen, not_run, routes, train};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::block_in_place;

/// The puzzle of the English Wikipedia's article on Sudoku.
const PUZZLE: &str = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
/// The cells of the board as the page shows them.
const BOARD: &str =
    "[...document.querySelectorAll('#sudoku-board .cell')].map(cell => cell.textContent || '.').join('')";
const SOLUTION: &str = "534678912672195348198342567859761423426853791713924856961537284287419635345286179";

const DESKTOP: Screen = Screen::Desktop(1280, 900);
const PHONE: Screen = Screen::Phone(360, 740, 1.0);

/// The page of a server with the shipped 9x9 model, in a window.
struct Page {
    browser: Browser,
    address: String,
}

impl Deref for Page {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Page {
    /// Opens it in front of the shipped 9x9 model.
    async fn open(screen: Screen, hash: &str) -> Option<Self> {
        Self::of(shipped, screen, hash).await
    }

    /// Opens it, once it knows what is loaded; `None`, loudly, on a machine without a browser.
    ///
    /// Visitors who want less motion see every step as it arrives, so that nothing here waits for an animation.
    async fn of(model: impl FnOnce() -> PathBuf, screen: Screen, hash: &str) -> Option<Self> {
        let page = Self::before(|| routes(&model()), screen).await?;
        page.go(hash).await;
        Some(page)
    }

    /// A window on an empty page in front of `routes`; `None`, loudly, on a machine without a browser.
    async fn before(routes: impl FnOnce() -> Router, screen: Screen) -> Option<Self> {
        let Some(programs) = Programs::find() else {
            not_run("the page in a browser", Programs::HOW);
            return None;
        };
        let address = listen(block_in_place(routes)).await;
        let browser = Browser::open(&programs, screen, &["--force-prefers-reduced-motion"]).await;
        Some(Self { browser, address })
    }

    async fn go(&self, hash: &str) {
        self.window.goto(&format!("{}/{hash}", self.address)).await.unwrap();
        self.wait_until_loaded().await;
    }

    /// Returns once the page knows what is loaded.
    async fn wait_until_loaded(&self) {
        self.wait_until("document.getElementById('footer').textContent.includes('version')").await;
    }

    /// Fills a field as typing does.
    async fn fill(&self, css: &str, text: &str) {
        self.window.find(Locator::Css(css)).await.unwrap().clear().await.unwrap();
        self.window.find(Locator::Css(css)).await.unwrap().send_keys(text).await.unwrap();
    }

    async fn wait_for_state(&self, state: &str) {
        self.wait_until(&format!("document.getElementById('mind').dataset.state === '{state}'")).await;
    }

    /// Walks on with the tab key until the focus is on what `css` says.
    async fn tab_to(&self, css: &str) {
        for _ in 0..40 {
            if self.evaluate(&format!("document.activeElement.matches('{css}')")).await == true {
                return;
            }
            self.press(&(Key::Tab + "")).await;
        }
        panic!("forty presses of the tab key do not lead to {css}");
    }

    /// The board as one line; `.` for a blank.
    async fn board(&self) -> String {
        self.evaluate(BOARD).await.as_str().unwrap().to_owned()
    }

    /// Indices of the board's cells of a class.
    async fn cells(&self, class: &str) -> Value {
        let cells = format!("document.querySelectorAll('#sudoku-board .cell.{class}')");
        self.evaluate(&format!("[...{cells}].map(cell => Number(cell.dataset.index))")).await
    }
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shipped/sudoku-9x9")
}

/// A model for 9x9 mazes that has learnt next to nothing.
fn maze_model(folder: &Path) -> PathBuf {
    let request = MazeRequest::hard(MazeShape::from_side(9).unwrap());
    let mazes = GeneratedBuild {
        puzzles: GeneratedMazes { request, seed: 0 },
        train_count: 8,
        test_count: 2,
        output_dir: folder.join("data"),
        overwrite: false,
    };
    generated::build(&mazes, |_, _| {}).unwrap();
    let settings = "max_steps=2 arch.hidden_size=32 arch.num_heads=2 arch.L_layers=1 arch.H_cycles=1 arch.L_cycles=1 \
                    arch.halt_max_steps=3 arch.puzzle_emb_ndim=0 arch.q_head_input=mean optimizer=adamw lr_warmup_steps=1 \
                    eval_count=2 global_batch_size=4 threads=1";
    train(folder, &format!("data_paths=[{}] {settings}", folder.join("data").display()))
}

/// Browsers are large: one at a time.
static ONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn a_puzzle_is_entered_solved_and_scrubbed_with_the_keyboard_alone() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(DESKTOP, "").await else { return };
    page.tab_to("#clear").await;
    page.press(&(Key::Enter + "")).await;
    assert_eq!(page.board().await, ".".repeat(81));
    // Clearing leaves the focus on the board's first cell.
    page.press(PUZZLE).await;
    assert_eq!(page.board().await, PUZZLE);
    page.press(&(Key::Enter + "")).await;
    page.wait_for_state("verified").await;
    assert_eq!(page.board().await, SOLUTION);
    assert_eq!(page.text("#verdict-title").await, "Verified");
    let facts = page.text("#facts").await;
    assert!(facts.contains("sudoku-9x9 · ") && facts.contains("the answer obeys the rules"), "{facts}");
    let url = page.window.current_url().await.unwrap();
    assert_eq!(url.fragment(), Some(format!("sudoku={PUZZLE}").as_str()));

    let steps = page.evaluate("Number(document.getElementById('scrub').max)").await.as_u64().unwrap();
    assert!(steps >= 1);
    assert_eq!(page.text("#position").await, format!("Step {steps} of {steps}"));
    // A dot of the chart for each step.
    page.wait_until(&format!("document.querySelectorAll('#chart .dot').length === {steps}")).await;
    page.tab_to("#scrub").await;
    page.press(&(Key::Home + "")).await;
    assert_eq!(page.board().await, PUZZLE, "before the first step");
    page.press(&(Key::Right + "")).await;
    assert_eq!(page.text("#position").await, format!("Step 1 of {steps}"));
    // The first step says something about every blank that it is sure of, and its changes are the cells that it filled.
    let first = page.board().await;
    let filled: Vec<usize> =
        (0..81).filter(|&cell| PUZZLE.as_bytes()[cell] == b'.' && first.as_bytes()[cell] != b'.').collect();
    assert_eq!(page.cells("changed").await, Value::from(filled));
    page.press(&(Key::End + "")).await;
    assert_eq!(page.board().await, SOLUTION);
    assert_eq!(page.text("#verdict-title").await, "Verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_givens_are_named_and_their_two_cells_marked() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(DESKTOP, "").await else { return };
    page.click("#clear").await;
    page.press("5.......5").await;
    page.press(&(Key::Enter + "")).await;
    page.wait_for_state("contradictory").await;
    assert_eq!(page.cells("marked").await, serde_json::json!([0, 8]));
    let detail = page.text("#verdict-detail").await;
    assert!(detail.contains('5') && detail.contains("row 1"), "{detail}");
    let spoken = page.evaluate("document.getElementById('live').textContent").await;
    assert!(spoken.as_str().unwrap().contains(&detail), "a screen reader says it: {spoken}");
    assert_eq!(page.text("#position").await, "No steps yet");
    // Correcting one of them is enough to go on.
    page.press(&(Key::Delete + "")).await;
    assert_eq!(page.cells("marked").await, serde_json::json!([]));
    assert_eq!(page.text("#verdict-title").await, "Ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arrow_keys_walk_the_board_and_stop_at_its_edges() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(DESKTOP, "").await else { return };
    page.click("#clear").await;
    let focus = "Number(document.activeElement.dataset.index)";
    for (keys, expected) in [
        (Key::Left + "", 0),
        (Key::Right + &Key::Right, 2),
        (Key::Down + &Key::Down, 20),
        (Key::End + "", 26),
        (Key::Right + "", 26),
        (Key::Up + &Key::Home, 9),
        (Key::Control + &Key::End, 80),
        (Key::Down + "", 80),
    ] {
        page.press(&keys).await;
        assert_eq!(page.evaluate(focus).await, expected);
    }
    page.press("7").await;
    assert_eq!(page.board().await, format!("{}7", ".".repeat(80)));
    let label = page.evaluate("document.activeElement.getAttribute('aria-label')").await;
    assert_eq!(label, "row 9, column 9, 7, given");
    page.press(&(Key::Backspace + "")).await;
    assert_eq!(page.board().await, ".".repeat(81));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_carries_its_puzzle_and_text_may_have_any_form() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(DESKTOP, &format!("#sudoku={PUZZLE}")).await else { return };
    assert_eq!(page.board().await, PUZZLE);
    let rows: Vec<&str> = (0..9).map(|row| &SOLUTION[row * 9..][..9]).collect();
    for text in [rows.join("\\n"), rows.join("\\n---+---+---\\n"), SOLUTION.replace('9', ".")] {
        let pasted = format!(
            "(() => {{ const data = new DataTransfer(); data.setData('text/plain', '{text}'); \
             document.body.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true }})); }})()"
        );
        page.evaluate(&pasted).await;
        let expected = if text.contains('.') { &text } else { SOLUTION };
        // The server reads the text, so the board follows later.
        page.wait_until(&format!("{BOARD} === '{expected}'")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_drawn_and_solved() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(DESKTOP, "").await else { return };
    let before = page.board().await;
    page.window.find(Locator::Css("#sudoku-clues")).await.unwrap().select_by_label("easy").await.unwrap();
    page.click("#sample").await;
    page.wait_until(&format!("document.getElementById('sudoku-text').value !== '{before}'")).await;
    let sample = page.board().await;
    assert!(sample.bytes().filter(|&cell| cell != b'.').count() >= 17 + 20, "{sample}");
    page.click("#solve").await;
    page.wait_until("['verified', 'unverified'].includes(document.getElementById('mind').dataset.state)").await;
    let shown = page.board().await;
    let is_kept = sample.bytes().zip(shown.bytes()).all(|(given, said)| given == b'.' || given == said);
    assert!(is_kept, "givens stay: {sample} {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theme_is_toggled_and_remembered() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(DESKTOP, "").await else { return };
    let ground = "getComputedStyle(document.body).backgroundColor";
    let pressed = "document.getElementById('theme').getAttribute('aria-pressed')";
    let (light, was_dark) = (page.evaluate(ground).await, page.evaluate(pressed).await);
    page.click("#theme").await;
    let dark = page.evaluate(ground).await;
    assert_ne!(dark, light);
    assert_ne!(page.evaluate(pressed).await, was_dark);
    page.window.refresh().await.unwrap();
    assert_eq!(page.evaluate(ground).await, dark, "the choice outlives the page");
    page.click("#theme").await;
    assert_eq!(page.evaluate(ground).await, light);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shows_everything_without_scrolling_sideways() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(PHONE, &format!("#sudoku={PUZZLE}")).await else { return };
    page.click("#solve").await;
    page.wait_for_state("verified").await;
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)").await;
    assert_eq!(
        page.evaluate("[innerWidth, document.documentElement.scrollWidth]").await,
        serde_json::json!([360, 360])
    );
    let outside = "[...document.querySelectorAll('main *')].filter(one => one.checkVisibility() && !one.closest('svg') && \
                   !['OPTION', 'LEGEND'].includes(one.tagName)) \
                   .filter(one => { const box = one.getBoundingClientRect(); return box.left < 0 || box.right > 360; }) \
                   .map(one => one.outerHTML.slice(0, 80))";
    assert_eq!(page.evaluate(outside).await, serde_json::json!([]));
    // A finger needs room.
    let small = "[...document.querySelectorAll('main button')].filter(one => one.checkVisibility() && \
                 one.getBoundingClientRect().height < 40).map(one => one.outerHTML)";
    assert_eq!(page.evaluate(small).await, serde_json::json!([]));
    // And there are keys for digits.
    page.click("#clear").await;
    page.click("#sudoku-pad button:nth-child(3)").await;
    assert!(page.board().await.starts_with("3."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_loaded_model_solves_is_disabled_and_says_why() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::open(DESKTOP, "").await else { return };
    for (task, word) in [("maze", "Maze"), ("arc", "ARC")] {
        let tab = format!("#tab-{task}");
        page.click(&tab).await;
        let disabled = format!("document.querySelector('{tab}').getAttribute('aria-disabled')");
        assert_eq!(page.evaluate(&disabled).await, "true");
        let reason = page.text("#tab-reason").await;
        assert!(reason.starts_with(&format!("No model for {word} is loaded.")), "{reason}");
    }
    let sizes =
        "[...document.querySelectorAll('#sudoku-sizes input')].filter(one => !one.disabled).map(one => one.value)";
    assert_eq!(page.evaluate(sizes).await, serde_json::json!(["9"]));
    assert_eq!(page.evaluate("document.querySelector('#panel-sudoku').hidden").await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maze_is_drawn_and_an_answer_that_is_no_path_is_not_claimed_to_be_one() {
    const CLASSES: &str = "[...document.querySelectorAll('#maze-board .cell')]";
    let _turn = ONE.lock().await;
    let folder = TempDir::new().unwrap();
    let Some(page) = Page::of(|| maze_model(folder.path()), DESKTOP, "").await else { return };
    let of_class =
        |class: &str| format!("{CLASSES}.flatMap((cell, at) => cell.classList.contains('{class}') ? [at] : [])");
    // Nothing else is loaded, so that the page begins with a sample of mazes, whose ends lie elsewhere than in an empty one.
    let ends = format!("[{}, {}].flat().join()", of_class("start"), of_class("goal"));
    page.wait_until(&format!("{ends} !== '10,70'")).await;
    assert_eq!(page.evaluate(&format!("{CLASSES}.length")).await, 81);
    page.click("#clear").await;
    let walls = page.evaluate(&format!("{}.length", of_class("wall"))).await;
    assert_eq!((walls, page.evaluate(&of_class("start")).await), (32.into(), serde_json::json!([10])));

    // By keys: the start moves to row 2, column 4, a wall takes its place; by pointer: a wall along row 5.
    page.press(&(Key::Down + &Key::Right)).await;
    page.press("#").await;
    page.press(&(Key::Right + &Key::Right)).await;
    page.press("s").await;
    assert_eq!(page.evaluate(&of_class("start")).await, serde_json::json!([12]));
    let cell = async |index: usize| {
        page.window.find(Locator::Css(&format!("#maze-board [data-index='{index}']"))).await.unwrap()
    };
    let (from, to) = (cell(38).await, cell(42).await);
    let stroke = MouseActions::new("mouse".into())
        .then(PointerAction::MoveToElement { element: from, duration: None, x: 0.0, y: 0.0 })
        .then(PointerAction::Down { button: 0 })
        .then(PointerAction::MoveToElement { element: to, duration: None, x: 0.0, y: 0.0 })
        .then(PointerAction::Up { button: 0 });
    page.window.perform_actions(stroke).await.unwrap();
    let drawn: Vec<&str> = vec![
        "#########",
        "##.S....#",
        "#.......#",
        "#.......#",
        "#.#####.#",
        "#.......#",
        "#.......#",
        "#......G#",
        "#########",
    ];
    let text = "document.getElementById('maze-text').value.replaceAll(' ', '.')";
    assert_eq!(page.evaluate(text).await, drawn.join("\n"));

    page.click("#solve").await;
    page.wait_for_state("unverified").await;
    assert_eq!(page.text("#verdict-title").await, "Not verified");
    assert_eq!(page.text("#position").await, "Step 3 of 3");
    // Walls, start and goal are the visitor's, whatever the model says about them.
    assert_eq!(page.evaluate(&of_class("start")).await, serde_json::json!([12]));
    assert_eq!(page.evaluate(text).await, drawn.join("\n"));

    // A picture is read by the server, which says what it read.
    let maze = Maze::parse(&drawn.join("\n").replace("#......G#", "#G......#").replace('.', " ")).unwrap();
    let task = Task::Maze(maze.shape());
    let picture = Scene::question(task, &maze.to_tokens()).draw().unwrap().to_png().unwrap();
    let file = folder.path().join("maze.png");
    std::fs::write(&file, picture).unwrap();
    page.window.find(Locator::Css("#maze-file")).await.unwrap().send_keys(file.to_str().unwrap()).await.unwrap();
    page.wait_until("document.getElementById('facts').childElementCount").await;
    assert_eq!(page.evaluate(text).await, maze.to_grid().trim_end().replace(' ', "."));
}
