//! Container specifications, content addressed. They are sealed; in the clear are the names of environment values, and
//! what of the body may be shown to everybody.

use std::collections::BTreeMap;

use domain::{name::SpecificationDigest, specification::Specification};
use serde_json::Value;
use sqlx::types::Json;
use tracing::warn;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    seal::SecretKey,
};

/// Most rows of before that one sweep seals.
const SEAL_MAX: i64 = 100;

#[derive(sqlx::FromRow)]
struct Row {
    body: Value,
    body_sealed: Option<Vec<u8>>,
    env_sealed: Vec<u8>,
}

/// The body of a row: what is sealed, or the row's own where nothing is, as in rows of before.
pub(crate) fn whole(
    key: &SecretKey,
    digest: &str,
    body: Value,
    sealed: Option<&[u8]>,
) -> Result<Value> {
    let Some(sealed) = sealed else {
        return Ok(body);
    };
    let opened = key.open(&place(digest), sealed)?;
    serde_json::from_slice(&opened).map_err(|error| corrupt("specification", error))
}

/// Where a body is sealed to: not where the environment of the same specification is.
fn place(digest: &str) -> String {
    format!("{digest} body")
}

impl Store {
    /// Stores a specification; the same one gives the same digest.
    ///
    /// # Errors
    /// As every store function.
    pub async fn specification_put(
        &self,
        specification: &Specification,
    ) -> Result<SpecificationDigest> {
        let digest = self.key.digest(specification);
        let env = serde_json::to_vec(&specification.env)
            .map_err(|error| corrupt("environment", error))?;
        timed(async {
            sqlx::query(
                "insert into specification (digest, key_id, body, env_sealed, env_fingerprints, body_sealed)
                 values ($1, $2, $3, $4, $5, $6)
                 on conflict on constraint specification_key do update set used_at = now()
                 where specification.used_at < now() - interval '1 day'",
            )
            .bind(digest.as_str())
            .bind(self.key.key_id().to_string())
            .bind(Specification::shown(&specification.body))
            .bind(self.key.seal(digest.as_str(), &env))
            .bind(Json(self.key.fingerprints(specification)))
            .bind(self.key.seal(&place(digest.as_str()), specification.body.to_string().as_bytes()))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        Ok(digest)
    }

    /// A specification with its environment values. Only for creating a container from it.
    ///
    /// # Errors
    /// [`Error::KeyLost`], [`Error::Corrupt`] when it is not what its digest says, [`Error::NotFound`],
    /// or as every store function.
    pub async fn specification_get(&self, digest: &SpecificationDigest) -> Result<Specification> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select body, body_sealed, env_sealed from specification where digest = $1",
            )
            .bind(digest.as_str())
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        let row = row.ok_or(Error::NotFound("specification"))?;
        let env = self.key.open(digest.as_str(), &row.env_sealed)?;
        let env = serde_json::from_slice(&env).map_err(|error| corrupt("environment", error))?;
        let specification = Specification {
            body: whole(
                &self.key,
                digest.as_str(),
                row.body,
                row.body_sealed.as_deref(),
            )?,
            env,
        };
        if self.key.digest(&specification) != *digest {
            return Err(corrupt("specification", "it is not what its digest says"));
        }
        Ok(specification)
    }

    /// Which of these specifications can be read with our key. Unknown ones are left out.
    ///
    /// # Errors
    /// As every store function.
    pub async fn specifications_readable(
        &self,
        digests: &[SpecificationDigest],
    ) -> Result<BTreeMap<SpecificationDigest, bool>> {
        let wanted: Vec<&str> = digests.iter().map(SpecificationDigest::as_str).collect();
        let rows: Vec<(String, bool)> = timed(async {
            Ok(sqlx::query_as(
                "select digest, key_id = $2 from specification where digest = any($1)",
            )
            .bind(wanted)
            .bind(self.key.key_id().to_string())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let parsed = rows.into_iter().map(|(digest, readable)| {
            let digest = digest
                .parse()
                .map_err(|error| corrupt("specification digest", error))?;
            Ok((digest, readable))
        });
        parsed.collect()
    }

    /// Seals what was stored before bodies were sealed, a batch; how many there were.
    ///
    /// # Errors
    /// As every store function.
    pub async fn specifications_seal(&self) -> Result<u64> {
        let rows: Vec<(String, Value)> = timed(async {
            Ok(sqlx::query_as(
                "select digest, body from specification where body_sealed is null and key_id = $1 limit $2",
            )
            .bind(self.key.key_id().to_string())
            .bind(SEAL_MAX)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let mut sealed = 0;
        for (digest, body) in rows {
            let written = timed(async {
                let seal = self.key.seal(&place(&digest), body.to_string().as_bytes());
                Ok(sqlx::query(
                    "update specification set body_sealed = $2, body = $3
                     where digest = $1 and body_sealed is null",
                )
                .bind(&digest)
                .bind(seal)
                .bind(Specification::shown(&body))
                .execute(&self.pool)
                .await?)
            });
            match written.await {
                Ok(written) => sealed += written.rows_affected(),
                Err(error) => {
                    warn!(%error, digest, "a specification could not be sealed; trying again later")
                }
            }
        }
        Ok(sealed)
    }
}
