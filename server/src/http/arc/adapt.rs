//! What to run so that a model learns a task that it does not know. Leaves running it to `trainer`.

use engine::model::ModelCard;

/// The commands, in order, for a task that was saved as `my-task.json` in ARC's own form: the model learns it, and a server
/// answers with the result. A folder of such files does as well, and several tasks are better learned together.
pub fn commands(card: &ModelCard) -> [String; 2] {
    [
        format!(
            "trainer adapt --checkpoint {} --tasks my-task.json --output checkpoints/my-task --minutes 10",
            card.name
        ),
        "server --checkpoint checkpoints/my-task".to_owned(),
    ]
}
