//! ARC tasks on the page.

use fantoccini::Locator;
use integration_tests::{ArcWorld, arc_routes, arc_task};
use tokio::task::block_in_place;

use crate::{DESKTOP, ONE, Page};

#[tokio::test(flavor = "multi_thread")]
async fn an_arc_task_is_named_opened_or_pasted_and_answered_with_attempts_and_votes() {
    // Pictures with a line of words beneath, by the element that holds them.
    let captions =
        |host: &str| format!("[...document.querySelectorAll('{host} figcaption')].map(one => one.textContent)");
    let _turn = ONE.lock().await;
    let world = block_in_place(ArcWorld::new);
    let Some(page) = Page::before(|| arc_routes(&world.checkpoint, &world.data), DESKTOP).await else { return };

    // By its name, in the address: the two test inputs are the data set's.
    page.go("#arc=mirror").await;
    let known = page.evaluate("[...document.querySelectorAll('#arc-ids option')].map(one => one.value).sort()").await;
    assert_eq!(known, serde_json::json!(["mirror", "paint"]));
    page.click("#solve").await;
    // An untrained model: whatever it draws is not the known output.
    page.wait_for_state("unverified").await;
    assert_eq!(page.text("#verdict-title").await, "Not solved");
    assert_eq!(page.evaluate("document.querySelectorAll('#arc-boards .arc-row').length").await, 2);
    let shown = page.text("#arc-boards").await;
    assert!(shown.contains("Test 2") && shown.contains("attempt 1") && shown.contains("vote"), "{shown}");
    let facts = page.text("#facts").await;
    assert!(facts.contains("Copies") && facts.contains("step_2 · "), "{facts}");

    // A file that holds another known task: it is found by its demonstrations, which are drawn.
    let file = world.folder.path().join("some.json");
    std::fs::write(&file, arc_task("paint").to_string()).unwrap();
    page.window.find(Locator::Css("#arc-file")).await.unwrap().send_keys(file.to_str().unwrap()).await.unwrap();
    page.wait_until("document.querySelectorAll('#arc-task canvas').length === 4").await;
    let drawn = page.evaluate(&captions("#arc-task")).await;
    assert_eq!(drawn, serde_json::json!(["input 1", "output 1", "input 2", "output 2"]));
    assert_eq!(page.evaluate(&captions("#arc-boards")).await, serde_json::json!(["test input 1"]));
    let spoken = page.evaluate("document.querySelector('#arc-task canvas').getAttribute('aria-label')").await;
    assert_eq!(spoken, "input 1: 2 by 2. blue black; black red");
    page.click("#solve").await;
    page.wait_for_state("unverified").await;
    assert_eq!(page.evaluate("document.querySelectorAll('#arc-boards .arc-row').length").await, 1);

    // One that the model does not know is refused, and the answer says how to teach it.
    page.click("#arc-source summary").await;
    page.fill("#arc-text", &arc_task("shift").to_string()).await;
    assert_eq!(page.text("#verdict-title").await, "Ready");
    assert_eq!(page.evaluate("document.querySelectorAll('#arc-task canvas').length").await, 4);
    page.click("#solve").await;
    page.wait_for_state("error").await;
    let detail = page.text("#verdict-detail").await;
    assert!(detail.contains("None of the 2 tasks") && detail.contains("trainer adapt"), "{detail}");
    let overflow = page.evaluate("document.documentElement.scrollWidth <= innerWidth").await;
    assert_eq!(overflow, true, "long commands must not widen the page");

    // And what is not a task says so before anything is sent.
    page.fill("#arc-text", "{\"train\": [{\"input\": [[1, 2], [3]], \"output\": [[1]]}], \"test\": []}").await;
    let spoken = page.evaluate("document.getElementById('live').textContent").await;
    assert_eq!(spoken, "train 1, input is not a grid of 1 to 30 rows and columns.");
}
