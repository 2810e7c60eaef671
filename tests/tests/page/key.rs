//! The page of a server that asks for a key.

use fantoccini::key::Key;
use integration_tests::guarded_routes;

use crate::{DESKTOP, ONE, PUZZLE, Page, SOLUTION, shipped};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_keys_asks_for_one_and_lets_the_right_one_in() {
    let form = "!document.getElementById('key-form').hidden";
    let _turn = ONE.lock().await;
    let Some(page) = Page::before(|| guarded_routes(&shipped(), "open-sesame"), DESKTOP).await else { return };
    page.window.goto(&format!("{}/#sudoku={PUZZLE}", page.address)).await.unwrap();
    page.wait_until(form).await;
    let asked = page.text("#verdict-detail").await;
    assert!(asked.contains("needs an API key"), "{asked}");
    page.fill("#key", "open barley").await;
    page.click("#key-form button").await;
    page.wait_until("document.getElementById('verdict-detail').textContent.includes('not known')").await;
    assert_eq!(
        (page.evaluate(form).await, page.text("#verdict-title").await),
        (true.into(), "Unauthorized".to_owned())
    );

    page.fill("#key", "open-sesame").await;
    page.press(&(Key::Enter + "")).await;
    page.wait_until_loaded().await;
    assert_eq!(page.evaluate(form).await, false);
    // The puzzle of the address is still meant.
    assert_eq!(page.board().await, PUZZLE);
    page.click("#solve").await;
    page.wait_for_state("verified").await;
    assert_eq!(page.board().await, SOLUTION);
    // It is asked once for a window, and stands in no address.
    page.window.refresh().await.unwrap();
    page.wait_until_loaded().await;
    assert_eq!(page.evaluate(form).await, false);
    let urls = page.requested().await;
    assert!(urls.len() > 10 && urls.iter().all(|address| !address.contains("sesame")), "{urls:?}");
}
