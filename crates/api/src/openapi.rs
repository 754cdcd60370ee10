//! The description of the API: what every route has in common is added here, once. It describes, it decides nothing.

use utoipa::{
    OpenApi as _,
    openapi::{
        ContentBuilder, HttpMethod, OpenApi, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        schema::{AdditionalProperties, Schema, SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::problem::Problem;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sternway",
        description = "A rollback control plane for Docker: it brings an application back to its last known good version, with proof.\n\n\
            Errors are RFC 9457 problems with a stable `code`. Request bodies with unknown fields and unknown query parameters are refused. \
            Lists are paged by cursor: send `next` as `after`. Times are RFC 3339 in UTC, identifiers UUIDv7.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "applications", description = "What is rolled back as one unit"),
        (name = "ledger", description = "What was put in service, and what is known of it"),
        (name = "guards", description = "What keeps rollbacks from starting without a person who asked"),
        (name = "plans", description = "What a rollback would do"),
        (name = "rollbacks", description = "Rollbacks and their logs"),
        (name = "triggers", description = "What other systems tell us, and what came of it"),
        (name = "tokens", description = "Who may do what"),
        (name = "operations", description = "Health, version and metrics of this server; open to everybody"),
    ),
    components(schemas(Problem))
)]
struct Base;

const PROBLEM: &str = "application/problem+json";
const BEARER: &str = "bearer";

/// Problems that any route with a permit may answer with.
const WITH_PERMIT: &[(&str, &str)] = &[
    ("400", "A parameter or the path is wrong"),
    ("401", "No valid token"),
    ("403", "The token may not do this"),
    ("429", "Too many refused tokens from this address"),
    (
        "500",
        "A fault of the server; `instance` names it in its log",
    ),
    ("503", "The database does not answer, or it took too long"),
];

/// Problems of routes that read a body.
const WITH_BODY: &[(&str, &str)] = &[
    ("408", "The body came too slowly"),
    ("413", "The body is longer than 64 KiB"),
    ("415", "The content type is not JSON"),
    ("422", "Fields are wrong: see `errors`"),
];

pub(crate) fn base() -> OpenApi {
    let mut document = Base::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("rb_person_..., rb_service_..., rb_setup_...")
        .description(Some("`sternway token create` makes one"))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    document
}

/// Adds what every operation has in common.
pub(crate) fn finish(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        for method in [
            HttpMethod::Get,
            HttpMethod::Put,
            HttpMethod::Post,
            HttpMethod::Delete,
        ] {
            if let Some(operation) = operation(item, &method) {
                common(path, operation);
            }
        }
    }
    if let Some(components) = &mut document.components {
        components.schemas.values_mut().for_each(close_choices);
    }
    document
}

fn operation<'a>(item: &'a mut PathItem, method: &HttpMethod) -> Option<&'a mut Operation> {
    match method {
        HttpMethod::Get => item.get.as_mut(),
        HttpMethod::Put => item.put.as_mut(),
        HttpMethod::Post => item.post.as_mut(),
        HttpMethod::Delete => item.delete.as_mut(),
        HttpMethod::Options | HttpMethod::Head | HttpMethod::Patch | HttpMethod::Trace => None,
    }
}

fn common(path: &str, operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
        {
            not_null(&mut object.schema_type);
        }
    }
    if !path.starts_with("/api/") {
        add(operation, "400", "A parameter or the path is wrong");
        return;
    }
    for (status, description) in WITH_PERMIT {
        add(operation, status, description);
    }
    if path.contains('{') {
        add(
            operation,
            "404",
            "There is no such thing, or it is not in the token's scope",
        );
    }
    if operation.request_body.is_some() {
        for (status, description) in WITH_BODY {
            add(operation, status, description);
        }
    }
}

/// A parameter is left out, never null: `Option` stands for both in utoipa.
fn not_null(kind: &mut SchemaType) {
    let SchemaType::Array(types) = kind else {
        return;
    };
    types.retain(|one| *one != Type::Null);
    if let [only] = types.as_slice() {
        *kind = SchemaType::Type(only.clone());
    }
}

/// A problem under this status, unless the route describes it better itself.
fn add(operation: &mut Operation, status: &str, description: &str) {
    if operation.responses.responses.contains_key(status) {
        return;
    }
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    let response = ResponseBuilder::new()
        .description(description)
        .content(PROBLEM, content)
        .build();
    operation
        .responses
        .responses
        .insert(status.to_owned(), RefOr::T(response));
}

/// A choice between objects is refused with an unknown field, as serde does; utoipa says so for plain structs only.
fn close_choices(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::OneOf(choice)) = schema else {
        return;
    };
    for option in &mut choice.items {
        if let RefOr::T(Schema::Object(object)) = option
            && !object.properties.is_empty()
            && object.additional_properties.is_none()
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            // `Target` says only that its version is a text.
            if let Some(version) = object.properties.get_mut("version") {
                *version = RefOr::Ref(Ref::from_schema_name("Version"));
            }
        }
    }
}
