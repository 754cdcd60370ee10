//! API tokens, kept as hashes. It never sees a token itself, and it does not decide what a token may do.

use domain::{
    name::{Actor, ApplicationName},
    time::Moment,
};
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    page::{Listed, Page},
};

/// What a token may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read.
    Viewer,
    /// Plan, roll back, record deployments.
    Operator,
    /// Approve what another person asked for.
    Approver,
    /// Everything.
    Admin,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

/// Whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A person's.
    Person,
    /// A machine's; it can never approve.
    Service,
}

impl TokenKind {
    const ALL: [Self; 2] = [Self::Person, Self::Service];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

/// A token to store.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its identity.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub kind: TokenKind,
    /// The person, or the service's name.
    pub person: Actor,
    /// What it may do.
    pub role: Role,
    /// On which applications; none: all.
    pub applications: Option<Vec<ApplicationName>>,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// Who made it.
    pub created_by: Actor,
    /// When it ends.
    pub expires_at: Moment,
}

/// A token in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its identity.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub kind: TokenKind,
    /// The person, or the service's name.
    pub person: Actor,
    /// What it may do.
    pub role: Role,
    /// On which applications; none: all.
    pub applications: Option<Vec<ApplicationName>>,
    /// Who made it.
    pub created_by: Actor,
    /// When it was made.
    pub created_at: Moment,
    /// When it ends.
    pub expires_at: Moment,
    /// When it was last used, within a minute.
    pub last_used_at: Option<Moment>,
    /// When it was revoked.
    pub revoked_at: Option<Moment>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    kind: String,
    person: String,
    role: String,
    applications: Option<Vec<String>>,
    created_by: String,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    last_used_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
}

impl Store {
    /// Stores a token.
    ///
    /// # Errors
    /// As every store function.
    pub async fn token_create(&self, token: &NewToken) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            insert(&mut tx, token).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// The living token with that hash: neither revoked nor over.
    ///
    /// # Errors
    /// As every store function.
    pub async fn token_find(&self, hash: &[u8; 32]) -> Result<Option<Token>> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select t.id, t.name, t.kind, t.person, t.role, t.applications, t.created_by, t.created_at,
                        t.expires_at, u.last_used_at, r.revoked_at
                 from api_token t
                 left join token_use u on u.token_id = t.id
                 left join token_revocation r on r.token_id = t.id
                 where t.hash = $1 and r.token_id is null and t.expires_at > now()",
            )
            .bind(hash.as_slice())
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        row.map(token).transpose()
    }

    /// Whether a token still lives; for streams that outlast their request.
    ///
    /// # Errors
    /// As every store function.
    pub async fn token_lives(&self, id: Uuid) -> Result<bool> {
        timed(async {
            Ok(sqlx::query_scalar(
                "select exists (select from api_token t where t.id = $1 and t.expires_at > now()
                 and not exists (select from token_revocation r where r.token_id = t.id))",
            )
            .bind(id)
            .fetch_one(&self.pool)
            .await?)
        })
        .await
    }

    /// Notes that a token was used; at most once a minute, as a write per request would tell nobody more.
    ///
    /// # Errors
    /// As every store function.
    pub async fn token_used(&self, id: Uuid) -> Result<()> {
        timed(async {
            sqlx::query(
                "insert into token_use (token_id, last_used_at) values ($1, now())
                 on conflict on constraint token_use_key do update set last_used_at = now()
                 where token_use.last_used_at < now() - interval '1 minute'",
            )
            .bind(id)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Tokens, newest first; revoked and ended ones as well.
    ///
    /// # Errors
    /// As every store function.
    pub async fn token_list(&self, page: &Page<Uuid>) -> Result<Listed<Token, Uuid>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select t.id, t.name, t.kind, t.person, t.role, t.applications, t.created_by, t.created_at,
                        t.expires_at, u.last_used_at, r.revoked_at
                 from api_token t
                 left join token_use u on u.token_id = t.id
                 left join token_revocation r on r.token_id = t.id
                 where $1::uuid is null or t.id < $1
                 order by t.id desc limit $2",
            )
            .bind(page.after)
            .bind(page.fetch())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<Token>> = rows.into_iter().map(token).collect();
        Ok(page.listed(items?, |token| token.id))
    }

    /// Ends a token now. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn token_revoke(&self, id: Uuid, by: &Actor) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let known: bool =
                sqlx::query_scalar("select exists (select from api_token where id = $1)")
                    .bind(id)
                    .fetch_one(&mut *tx)
                    .await?;
            if !known {
                return Err(Error::NotFound("token"));
            }
            let revoked = sqlx::query(
                "insert into token_revocation (token_id, revoked_by) values ($1, $2)
                 on conflict on constraint token_revocation_key do nothing",
            )
            .bind(id)
            .bind(by.as_str())
            .execute(&mut *tx)
            .await?;
            if revoked.rows_affected() == 1 {
                audit::enter(
                    &mut tx,
                    by,
                    "token.revoke",
                    &format!("token/{id}"),
                    json!({}),
                )
                .await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Whether nobody can log in yet: there is no token, and so a set-up token is needed.
    ///
    /// # Errors
    /// As every store function.
    pub async fn setup_needed(&self) -> Result<bool> {
        timed(async {
            Ok(
                sqlx::query_scalar("select not exists (select from api_token)")
                    .fetch_one(&self.pool)
                    .await?,
            )
        })
        .await
    }

    /// Stores a one-time set-up token; earlier ones end.
    ///
    /// # Errors
    /// As every store function.
    pub async fn setup_token_put(&self, hash: &[u8; 32], expires_at: Moment) -> Result<()> {
        timed(async {
            sqlx::query(
                "with ended as (
                     update setup_token set expires_at = now() where used_at is null and expires_at > now()
                 )
                 insert into setup_token (hash, expires_at) values ($1, $2)",
            )
            .bind(hash.as_slice())
            .bind(OffsetDateTime::from(expires_at))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Trades a set-up token for a token, once.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is unknown, used or over, or as every store function.
    pub async fn setup_token_use(&self, hash: &[u8; 32], token: &NewToken) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let used = sqlx::query(
                "update setup_token set used_at = now() where hash = $1 and used_at is null and expires_at > now()",
            )
            .bind(hash.as_slice())
            .execute(&mut *tx)
            .await?;
            if used.rows_affected() == 0 {
                return Err(Error::NotFound("set-up token"));
            }
            insert(&mut tx, token).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}

async fn insert(session: &mut PgConnection, token: &NewToken) -> Result<()> {
    let names = |names: &Vec<ApplicationName>| {
        names
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    sqlx::query(
        "insert into api_token (id, name, kind, person, role, applications, hash, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(token.id)
    .bind(&token.name)
    .bind(token.kind.word())
    .bind(token.person.as_str())
    .bind(token.role.word())
    .bind(token.applications.as_ref().map(names))
    .bind(token.hash.as_slice())
    .bind(token.created_by.as_str())
    .bind(OffsetDateTime::from(token.expires_at))
    .execute(&mut *session)
    .await?;
    let detail = json!({"name": token.name, "kind": token.kind, "person": token.person, "role": token.role,
                        "applications": token.applications, "expires_at": token.expires_at});
    audit::enter(
        session,
        &token.created_by,
        "token.create",
        &format!("token/{}", token.id),
        detail,
    )
    .await
}

fn token(row: Row) -> Result<Token> {
    let bad = |error| corrupt("token", error);
    let kind = TokenKind::ALL
        .into_iter()
        .find(|kind| kind.word() == row.kind);
    let role = Role::ALL.into_iter().find(|role| role.word() == row.role);
    let applications = row.applications.map(|names| {
        names
            .into_iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
    });
    Ok(Token {
        id: row.id,
        name: row.name,
        kind: kind.ok_or_else(|| corrupt("token", "its kind is not known"))?,
        person: row.person.parse().map_err(bad)?,
        role: role.ok_or_else(|| corrupt("token", "its role is not known"))?,
        applications: applications.transpose().map_err(bad)?,
        created_by: row.created_by.parse().map_err(bad)?,
        created_at: row.created_at.into(),
        expires_at: row.expires_at.into(),
        last_used_at: row.last_used_at.map(Moment::from),
        revoked_at: row.revoked_at.map(Moment::from),
    })
}
