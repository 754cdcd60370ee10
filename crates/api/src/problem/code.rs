//! The stable codes of problems, each with its status and title.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $word:literal $status:ident $title:literal,)*) => {
        /// Stable codes of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as text.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson "malformed_json" BAD_REQUEST "The body is not JSON",
    /// A path, query or header parameter is wrong.
    BadParameter "bad_parameter" BAD_REQUEST "A parameter is wrong",
    /// The path is not written canonically.
    PathNotCanonical "path_not_canonical" BAD_REQUEST "The path is not canonical",
    /// `Idempotency-Key` is missing or malformed.
    IdempotencyKey "idempotency_key" BAD_REQUEST "The idempotency key is missing or malformed",
    /// No valid token.
    Unauthenticated "unauthenticated" UNAUTHORIZED "No valid token",
    /// A message's sender is not proved. The status is what its sender's kind asks for.
    MessageRefused "message_refused" UNAUTHORIZED "The sender is not proved",
    /// The token may not do this.
    Forbidden "forbidden" FORBIDDEN "Not allowed",
    /// Whoever asks for a rollback may not approve it.
    SelfApproval "self_approval" FORBIDDEN "Approval needs another person",
    /// No such thing, or not visible to this token.
    NotFound "not_found" NOT_FOUND "Not found",
    /// The route exists with other methods.
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed",
    /// The body came too slowly.
    BodyTooSlow "body_too_slow" REQUEST_TIMEOUT "The body came too slowly",
    /// Another rollback of the application is active.
    RollbackActive "rollback_active" CONFLICT "A rollback is active",
    /// The rollback has ended.
    RollbackEnded "rollback_ended" CONFLICT "The rollback has ended",
    /// The rollback is too far on to be called off.
    CancelTooLate "cancel_too_late" CONFLICT "Too late to call it off",
    /// Something stands in the way of a plan.
    PlanBlocked "plan_blocked" CONFLICT "Something stands in the way",
    /// The target is what runs.
    NothingToDo "nothing_to_do" CONFLICT "Nothing to do",
    /// The rollback waits for no approval.
    ApprovalNotAwaited "approval_not_awaited" CONFLICT "No approval is awaited",
    /// A project could not be understood as an application.
    NotAdoptable "not_adoptable" CONFLICT "The project could not be understood",
    /// The application's definition names no repository.
    NoSource "no_source" CONFLICT "The application has no source",
    /// What is there contradicts the request.
    Conflict "conflict" CONFLICT "Conflict",
    /// The plan is not known.
    PlanUnknown "plan_unknown" PRECONDITION_FAILED "The plan is not known",
    /// The plan is no longer true.
    PlanStale "plan_stale" PRECONDITION_FAILED "The plan is no longer true",
    /// The named revision is not the present one.
    RevisionStale "revision_stale" PRECONDITION_FAILED "Changed since you read it",
    /// The body is too long.
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large",
    /// The content type is not JSON.
    MediaType "media_type" UNSUPPORTED_MEDIA_TYPE "The content type is not JSON",
    /// Fields of the body are wrong.
    InvalidFields "invalid_fields" UNPROCESSABLE_ENTITY "Fields are wrong",
    /// An image is not on the engine.
    ImageUnknown "image_unknown" UNPROCESSABLE_ENTITY "An image is not on the engine",
    /// The key was used with another body.
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The key was used with another body",
    /// `If-Match` is missing.
    RevisionRequired "revision_required" PRECONDITION_REQUIRED "The revision is missing",
    /// Too many refused tokens.
    TooManyFailures "too_many_failures" TOO_MANY_REQUESTS "Too many refused tokens",
    /// A fault of the server.
    Internal "internal" INTERNAL_SERVER_ERROR "Internal error",
    /// The database does not answer.
    DatabaseUnavailable "database_unavailable" SERVICE_UNAVAILABLE "The database does not answer",
    /// A message could not be kept.
    MessageNotKept "message_not_kept" SERVICE_UNAVAILABLE "The message was not kept",
    /// The engine does not answer.
    EngineUnreachable "engine_unreachable" SERVICE_UNAVAILABLE "The engine does not answer",
    /// The repository does not answer.
    SourceUnreachable "source_unreachable" SERVICE_UNAVAILABLE "The repository does not answer",
    /// The request took too long.
    TimedOut "timed_out" SERVICE_UNAVAILABLE "It took too long",
    /// Too many open streams.
    TooManyStreams "too_many_streams" SERVICE_UNAVAILABLE "Too many open streams",
}
