//! Container specifications, content addressed. Environment values are sealed; only their names are in the clear.

use std::collections::BTreeMap;

use domain::{name::SpecificationDigest, specification::Specification};
use serde_json::Value;
use sqlx::types::Json;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
};

#[derive(sqlx::FromRow)]
struct Row {
    body: Value,
    env_sealed: Vec<u8>,
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
                "insert into specification (digest, key_id, body, env_sealed, env_fingerprints)
                 values ($1, $2, $3, $4, $5) on conflict on constraint specification_key do nothing",
            )
            .bind(digest.as_str())
            .bind(self.key.key_id().to_string())
            .bind(&specification.body)
            .bind(self.key.seal(digest.as_str(), &env))
            .bind(Json(self.key.fingerprints(specification)))
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
            Ok(
                sqlx::query_as("select body, env_sealed from specification where digest = $1")
                    .bind(digest.as_str())
                    .fetch_optional(&self.pool)
                    .await?,
            )
        })
        .await?;
        let row = row.ok_or(Error::NotFound("specification"))?;
        let env = self.key.open(digest.as_str(), &row.env_sealed)?;
        let env = serde_json::from_slice(&env).map_err(|error| corrupt("environment", error))?;
        let specification = Specification {
            body: row.body,
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
}
