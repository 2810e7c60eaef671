//! The description of the interface as a page.

use integration_tests::routes;

use crate::{DESKTOP, ONE, Page, shipped};

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_interface_is_shown_and_tried_without_another_host() {
    let _turn = ONE.lock().await;
    let Some(page) = Page::before(|| routes(&shipped()), DESKTOP).await else { return };
    page.window.goto(&format!("{}/docs", page.address)).await.unwrap();
    page.wait_until("document.querySelectorAll('.opblock').length").await;
    let paths =
        page.evaluate("[...document.querySelectorAll('.opblock-summary-path')].map(one => one.textContent)").await;
    let paths: Vec<String> = serde_json::from_value(paths).unwrap();
    for path in ["/solve/sudoku", "/solve/maze", "/solve/arc", "/samples/arc", "/livez", "/admin/reload"] {
        // Long paths may break behind a slash, by way of a character that shows nothing.
        assert!(paths.iter().any(|shown| shown.replace('\u{200b}', "") == path), "{path}: {paths:?}");
    }
    // The first example, sent from the page.
    page.click("#operations-solve-solveSudoku .opblock-summary-control").await;
    page.wait_until("document.querySelector('#operations-solve-solveSudoku .execute')").await;
    page.click("#operations-solve-solveSudoku .execute").await;
    let status =
        "document.querySelector('#operations-solve-solveSudoku .live-responses-table tbody .response-col_status')";
    page.wait_until(&format!("{status}?.textContent.startsWith('200')")).await;
    let body = page.text("#operations-solve-solveSudoku .live-responses-table tbody .response-col_description").await;
    assert!(body.contains("\"solved\": true"), "{body}");

    let asked = page.requested().await;
    let elsewhere: Vec<&String> =
        asked.iter().filter(|address| !address.starts_with(&page.address) && !address.starts_with("data:")).collect();
    assert_eq!(elsewhere, Vec::<&String>::new());
    for path in ["/docs/swagger-ui-bundle.js", "/openapi.json", "/solve/sudoku"] {
        assert!(asked.iter().any(|address| address.ends_with(path)), "{path}: {asked:?}");
    }
}
