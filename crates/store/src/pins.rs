//! Files that rollbacks wrote a version into: their former bytes, sealed, to be put back when a rollback turns or
//! its hold is released.

use domain::{
    compose::Pin,
    name::{ApplicationName, RollbackId, Version},
    time::Moment,
};
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    runs::Held,
    seal::SecretKey,
};

/// A file to write a version into.
#[derive(Clone, Copy, Debug)]
pub struct NewPin<'a> {
    /// Its path, as a person knows it.
    pub path: &'a str,
    /// The project's folder.
    pub folder: &'a str,
    /// Its name below the folder.
    pub name: &'a str,
    /// What is in it; none when it is not there.
    pub former: Option<&'a [u8]>,
    /// What will be in it; none when it is to be taken away.
    pub written: Option<&'a [u8]>,
}

/// What a rollback did to a file. It holds secrets: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pinned {
    /// What was in it; none when it was not there.
    pub former: Option<Vec<u8>>,
    /// What the rollback wrote; none when it took the file away.
    pub written: Option<Vec<u8>>,
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pinned").finish_non_exhaustive()
    }
}

/// A file whose hold was released: it is to be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedPin {
    /// The rollback that wrote it.
    pub rollback: RollbackId,
    /// Its application.
    pub application: ApplicationName,
    /// Its path, as a person knows it.
    pub path: String,
    /// The project's folder.
    pub folder: String,
    /// Its name below the folder.
    pub name: String,
}

/// A pin that stands after its rollback: what becomes of it when the hold is released. Nothing else of the file is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPin {
    /// The rollback that wrote it.
    pub rollback: RollbackId,
    /// The file, what of it is pinned, and both values.
    pub pin: Pin,
    /// When the hold was released and the file looked at again.
    pub settled_at: Option<Moment>,
    /// What came of that.
    pub said: Option<String>,
    /// Whether its rollback made a hold, whose release puts the file back.
    pub held: bool,
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    rollback_id: uuid::Uuid,
    pin: Json<Pin>,
    settled_at: Option<OffsetDateTime>,
    said: Option<String>,
    held: bool,
}

#[derive(sqlx::FromRow)]
struct Sealed {
    former: Option<Vec<u8>>,
    written: Option<Vec<u8>>,
}

impl Store {
    /// Keeps a file's content before it is written, while the claim is ours. What is kept already stays.
    ///
    /// # Errors
    /// [`Error::Fenced`], or as every store function.
    pub async fn pin_keep(&self, held: &Held, new: &NewPin<'_>) -> Result<()> {
        let seal = |what: &str, content: &[u8]| {
            self.key
                .seal(&about(held.rollback, new.path, what), content)
        };
        let former = new.former.map(|former| seal("former", former));
        let written = new.written.map(|written| seal("written", written));
        let claimed: bool = timed(async {
            Ok(sqlx::query_scalar(
                "with held as (
                     select rollback_id from rollback_run
                     where rollback_id = $1 and fence = $2 and lease_until > now()
                 ), stored as (
                     insert into pin (rollback_id, path, folder, name, former, written)
                     select rollback_id, $3, $4, $5, $6, $7 from held
                     on conflict on constraint pin_key do nothing
                 )
                 select exists (select from held)",
            )
            .bind(held.rollback.0)
            .bind(held.fence.0)
            .bind(new.path)
            .bind(new.folder)
            .bind(new.name)
            .bind(former)
            .bind(written)
            .fetch_one(&self.pool)
            .await?)
        })
        .await?;
        if claimed { Ok(()) } else { Err(Error::Fenced) }
    }

    /// What a rollback did to a file, or was about to do; none when it did nothing.
    ///
    /// # Errors
    /// [`Error::KeyLost`], or as every store function.
    pub async fn pinned(&self, rollback: RollbackId, path: &str) -> Result<Option<Pinned>> {
        let row: Option<Sealed> = timed(async {
            Ok(sqlx::query_as(
                "select former, written from pin where rollback_id = $1 and path = $2",
            )
            .bind(rollback.0)
            .bind(path)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        row.map(|row| opened(&self.key, rollback, path, &row))
            .transpose()
    }

    /// What a rollback pinned, when it made a hold, or left the rest to a person: then nothing but a person puts it back.
    ///
    /// # Errors
    /// As every store function.
    pub async fn pins_of(&self, rollback: RollbackId) -> Result<Vec<HeldPin>> {
        timed(async {
            let rows: Vec<HeldRow> = sqlx::query_as(
                "select p.rollback_id, w.pin, p.settled_at, p.said,
                        exists (select from hold h where h.rollback_id = p.rollback_id) as held
                 from pin p
                 join rollback q on q.id = p.rollback_id
                 join rollback_run r on r.rollback_id = p.rollback_id
                 join plan l on l.digest = q.plan_digest
                 cross join lateral (values (l.body::jsonb #> '{project,pin}'), (l.body::jsonb #> '{project,listing}')) w (pin)
                 where p.rollback_id = $1 and w.pin ->> 'path' = p.path
                   and (exists (select from hold h where h.rollback_id = p.rollback_id)
                        or r.state #>> '{phase,verdict}' = 'needs_human')
                 order by p.path limit 16",
            )
            .bind(rollback.0)
            .fetch_all(&self.pool)
            .await?;
            Ok(rows.into_iter().map(HeldPin::from).collect())
        })
        .await
    }

    /// What goes back when the holds of a release are released.
    ///
    /// # Errors
    /// As every store function.
    pub async fn pins_held(
        &self,
        application: &ApplicationName,
        version: &Version,
    ) -> Result<Vec<HeldPin>> {
        timed(async {
            let rows: Vec<HeldRow> = sqlx::query_as(
                "select p.rollback_id, w.pin, p.settled_at, p.said, true as held
                 from hold h
                 join pin p on p.rollback_id = h.rollback_id
                 join rollback q on q.id = p.rollback_id
                 join plan l on l.digest = q.plan_digest
                 cross join lateral (values (l.body::jsonb #> '{project,pin}'), (l.body::jsonb #> '{project,listing}')) w (pin)
                 where h.application = $1 and h.version = $2 and p.settled_at is null
                   and w.pin ->> 'path' = p.path
                 order by p.written_at desc limit 16",
            )
            .bind(application.as_str())
            .bind(version.as_str())
            .fetch_all(&self.pool)
            .await?;
            Ok(rows.into_iter().map(HeldPin::from).collect())
        })
        .await
    }

    /// Files to put back: the hold that their rollback made was released, and nothing acts on their application.
    ///
    /// # Errors
    /// As every store function.
    pub async fn pins_released(&self, limit: u32) -> Result<Vec<ReleasedPin>> {
        let rows: Vec<(uuid::Uuid, String, String, String, String)> = timed(async {
            Ok(sqlx::query_as(
                "select p.rollback_id, r.application, p.path, p.folder, p.name
                 from pin p join rollback_run r on r.rollback_id = p.rollback_id
                 where p.settled_at is null
                   and exists (select from hold h join hold_release x on x.hold_id = h.id
                               where h.rollback_id = p.rollback_id)
                   and not exists (select from rollback_run a where a.application = r.application and a.acts)
                 order by p.written_at desc limit $1",
            )
            .bind(i64::from(limit.min(64)))
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let pin = |(rollback, application, path, folder, name): (_, String, _, _, _)| {
            let application = application.parse().map_err(|bad| corrupt("pin", bad))?;
            Ok(ReleasedPin {
                rollback: RollbackId(rollback),
                application,
                path,
                folder,
                name,
            })
        };
        rows.into_iter().map(pin).collect()
    }

    /// Says what came of putting a file back. The first word stays.
    ///
    /// # Errors
    /// As every store function.
    pub async fn pin_settle(&self, rollback: RollbackId, path: &str, said: &str) -> Result<()> {
        timed(async {
            sqlx::query(
                "update pin set settled_at = now(), said = $3
                 where rollback_id = $1 and path = $2 and settled_at is null",
            )
            .bind(rollback.0)
            .bind(path)
            .bind(said)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }
}

impl From<HeldRow> for HeldPin {
    fn from(row: HeldRow) -> Self {
        Self {
            rollback: RollbackId(row.rollback_id),
            pin: row.pin.0,
            settled_at: row.settled_at.map(Moment::from),
            said: row.said,
            held: row.held,
        }
    }
}

fn about(rollback: RollbackId, path: &str, what: &str) -> String {
    format!("pin/{rollback}/{what}/{path}")
}

fn opened(key: &SecretKey, rollback: RollbackId, path: &str, row: &Sealed) -> Result<Pinned> {
    let open = |what: &str, sealed: &[u8]| key.open(&about(rollback, path, what), sealed);
    let opened = |what, sealed: Option<&[u8]>| sealed.map(|sealed| open(what, sealed)).transpose();
    Ok(Pinned {
        former: opened("former", row.former.as_deref())?,
        written: opened("written", row.written.as_deref())?,
    })
}
