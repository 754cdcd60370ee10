//! What a running Compose project would be as an application. Nothing is stored.

use axum::Json;
use domain::{application::Application, name::ComponentName};
use serde::{Deserialize, Serialize};
use store::Question;
use utoipa::ToSchema;

use crate::{
    auth::{Administer, Permit},
    input::Input,
    look,
    problem::Problem,
};

/// Which project to look at.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"project": "shop"}))]
pub struct AdoptionRequest {
    /// The Compose project.
    pub project: ComponentName,
    /// The engine: `local` or `unix:///path`.
    #[serde(default = "local")]
    #[schema(pattern = "^(local|unix:///[!-~]{1,2000})$")]
    pub engine: String,
}

fn local() -> String {
    "local".to_owned()
}

/// What was understood of a project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdoptionAnswer {
    /// The definition, to be read, corrected and PUT.
    pub application: Application,
    /// What a person should know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Looks at a running Compose project and says what its definition would be. Nothing is stored.
#[utoipa::path(post, path = "/api/v1/adoptions", operation_id = "look_at_project", tag = "applications",
    request_body = AdoptionRequest, responses(
        (status = 200, description = "The definition as it was understood", body = AdoptionAnswer),
        (status = 409, description = "The engine answers, and the project can not be adopted", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The engine does not answer", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn look(
    permit: Permit<Administer>,
    Input(ask): Input<AdoptionRequest>,
) -> Result<Json<AdoptionAnswer>, Problem> {
    permit.must_see_all()?;
    if ask.engine != "local" && !ask.engine.starts_with("unix:///") {
        let what = "use `local` or `unix:///absolute/path/of/the.sock`".to_owned();
        return Err(Problem::fields([crate::problem::FieldError {
            field: "engine".to_owned(),
            what,
        }]));
    }
    let question = Question::Project {
        engine: ask.engine,
        project: ask.project,
    };
    Ok(Json(
        look::ask(&permit, question)
            .await?
            .map_err(|said| Problem::not_adoptable(&said))?,
    ))
}
