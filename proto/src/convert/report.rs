//! Reports to and from the wire.

use jiff::Timestamp;

use super::{ConvertError, Result, at_most, bytes_of, digest, required};
use crate::ids::{AppId, AppName, TenantName};
use crate::limits;
use crate::object::{KeyParts, ObjectKey};
use crate::report::{
    AppReport, DriftAction, DriftReport, DriftType, EventReport, FieldDrift, HeldObject, HoldReport, Listed,
    ListsReport, ObjectReport, Report, State, TakenReport,
};
use crate::wire;

pub(super) fn to_wire(report: Report) -> wire::Report {
    wire::Report {
        boot_id: report.boot_id,
        counter: report.counter,
        as_of_millis: report.as_of.as_millisecond(),
        plan: report.plan.as_ref().map(bytes_of),
        full: report.full,
        apps: report.apps.into_iter().map(app_to_wire).collect(),
        cleared: report.cleared.into_iter().map(id_to_wire).collect(),
        unaccounted: report.unaccounted.into_iter().map(id_to_wire).collect(),
        holds: report.holds.into_iter().map(hold_to_wire).collect(),
        drift: report.drift.into_iter().map(drift_to_wire).collect(),
        events: report.events.into_iter().map(event_to_wire).collect(),
        lists: report.lists.map(|lists| wire::Lists {
            places: lists.places,
            interval_seconds: lists.interval_seconds,
            as_of_millis: lists.as_of.map(Timestamp::as_millisecond),
        }),
    }
}

pub(super) fn from_wire(report: wire::Report) -> Result<Report> {
    Ok(Report {
        boot_id: report.boot_id,
        counter: report.counter,
        as_of: time(report.as_of_millis)?,
        plan: report.plan.map(|bytes| digest(&bytes, "plan")).transpose()?,
        full: report.full,
        apps: report.apps.into_iter().map(app_from_wire).collect::<Result<_>>()?,
        cleared: report.cleared.into_iter().map(id_from_wire).collect::<Result<_>>()?,
        unaccounted: report.unaccounted.into_iter().map(id_from_wire).collect::<Result<_>>()?,
        holds: report.holds.into_iter().map(hold_from_wire).collect::<Result<_>>()?,
        drift: report.drift.into_iter().map(drift_from_wire).collect::<Result<_>>()?,
        events: report.events.into_iter().map(event_from_wire).collect::<Result<_>>()?,
        lists: report.lists.map(lists_from_wire).transpose()?.map(Box::new),
    })
}

fn lists_from_wire(lists: wire::Lists) -> Result<ListsReport> {
    Ok(ListsReport {
        places: lists.places,
        interval_seconds: lists.interval_seconds,
        as_of: lists.as_of_millis.map(time).transpose()?,
    })
}

fn time(millis: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(millis).map_err(|_| ConvertError::Invalid("time"))
}

fn id_to_wire(id: AppId) -> wire::AppId {
    wire::AppId { tenant: id.tenant.into(), app: id.app.into() }
}

fn id_from_wire(id: wire::AppId) -> Result<AppId> {
    Ok(AppId {
        tenant: TenantName::new(id.tenant).map_err(|_| ConvertError::Invalid("tenant"))?,
        app: AppName::new(id.app).map_err(|_| ConvertError::Invalid("app"))?,
    })
}

fn key_to_wire(key: ObjectKey) -> wire::ObjectKey {
    let KeyParts { group, kind, namespace, name } = (*key).clone();
    wire::ObjectKey { group, kind, namespace, name }
}

fn key_from_wire(key: Option<wire::ObjectKey>) -> Result<ObjectKey> {
    let key = required(key, "object key")?;
    Ok(ObjectKey::new(key.group, key.kind, key.namespace, key.name))
}

fn app_to_wire(app: AppReport) -> wire::AppReport {
    wire::AppReport {
        id: Some(id_to_wire(app.id)),
        bundle: app.bundle.as_ref().map(bytes_of),
        state: app.state.as_str().to_owned(),
        reason: app.reason,
        message: app.message,
        objects: app.objects,
        ready: app.ready,
        exceptions: app.exceptions.into_iter().map(object_to_wire).collect(),
        taken: app.taken.into_iter().map(taken_to_wire).collect(),
    }
}

fn app_from_wire(app: wire::AppReport) -> Result<AppReport> {
    at_most(&app.exceptions, limits::REPORT_EXCEPTIONS, "exceptions")?;
    at_most(&app.taken, limits::REPORT_EXCEPTIONS, "objects taken over")?;
    Ok(AppReport {
        id: id_from_wire(required(app.id, "app id")?)?,
        bundle: app.bundle.map(|bytes| digest(&bytes, "bundle")).transpose()?,
        state: State::parse(&app.state).ok_or(ConvertError::Invalid("state"))?,
        reason: app.reason,
        message: app.message,
        objects: app.objects,
        ready: app.ready,
        exceptions: app.exceptions.into_iter().map(object_from_wire).collect::<Result<_>>()?,
        taken: app.taken.into_iter().map(taken_from_wire).collect::<Result<_>>()?,
    })
}

fn object_to_wire(object: ObjectReport) -> wire::ObjectReport {
    wire::ObjectReport {
        key: Some(key_to_wire(object.key)),
        reason: object.reason,
        message: object.message,
        managers: object.managers,
        fields: object.fields.into_iter().map(field_to_wire).collect(),
        listed: object.listed.map(|Listed { interval_seconds, as_of }| wire::Listed {
            interval_seconds,
            as_of_millis: as_of.map(Timestamp::as_millisecond),
        }),
    }
}

fn object_from_wire(object: wire::ObjectReport) -> Result<ObjectReport> {
    at_most(&object.fields, limits::REPORT_EXCEPTIONS, "fields of an object")?;
    Ok(ObjectReport {
        key: key_from_wire(object.key)?,
        reason: object.reason,
        message: object.message,
        managers: object.managers,
        fields: object.fields.into_iter().map(field_from_wire).collect(),
        listed: object.listed.map(listed_from_wire).transpose()?,
    })
}

fn listed_from_wire(listed: wire::Listed) -> Result<Listed> {
    let wire::Listed { interval_seconds, as_of_millis } = listed;
    Ok(Listed { interval_seconds, as_of: as_of_millis.map(time).transpose()? })
}

fn taken_to_wire(taken: TakenReport) -> wire::Taken {
    wire::Taken { key: Some(key_to_wire(taken.key)), managers: taken.managers }
}

fn taken_from_wire(taken: wire::Taken) -> Result<TakenReport> {
    Ok(TakenReport { key: key_from_wire(taken.key)?, managers: taken.managers })
}

fn field_to_wire(field: FieldDrift) -> wire::FieldDrift {
    let FieldDrift { path, wanted, found, redacted } = field;
    wire::FieldDrift { path, wanted, found, redacted }
}

fn field_from_wire(field: wire::FieldDrift) -> FieldDrift {
    let wire::FieldDrift { path, wanted, found, redacted } = field;
    FieldDrift { path, wanted, found, redacted }
}

fn hold_to_wire(hold: HoldReport) -> wire::Hold {
    let held = |object: HeldObject| wire::HeldObject { key: Some(key_to_wire(object.key)), uid: object.uid };
    wire::Hold {
        digest: bytes_of(&hold.digest),
        id: Some(id_to_wire(hold.id)),
        reason: hold.reason,
        objects: hold.objects.into_iter().map(held).collect(),
    }
}

fn hold_from_wire(hold: wire::Hold) -> Result<HoldReport> {
    let held = |object: wire::HeldObject| Ok(HeldObject { key: key_from_wire(object.key)?, uid: object.uid });
    Ok(HoldReport {
        digest: digest(&hold.digest, "hold digest")?,
        id: id_from_wire(required(hold.id, "app id")?)?,
        reason: hold.reason,
        objects: hold.objects.into_iter().map(held).collect::<Result<_>>()?,
    })
}

fn drift_to_wire(drift: DriftReport) -> wire::Drift {
    let kind = match drift.kind {
        DriftType::Changed => "Changed",
        DriftType::Deleted => "Deleted",
        DriftType::Contended => "Contended",
    };
    let action = match drift.action {
        DriftAction::Reverted => "Reverted",
        DriftAction::Reported => "Reported",
    };
    wire::Drift {
        id: drift.id,
        app: Some(id_to_wire(drift.app)),
        key: Some(key_to_wire(drift.key)),
        version: drift.version,
        kind: kind.to_owned(),
        detected_millis: drift.detected.as_millisecond(),
        manager: drift.manager,
        action: action.to_owned(),
        restored_millis: drift.restored_millis,
        approximate: drift.approximate,
        fields: drift.fields.into_iter().map(field_to_wire).collect(),
    }
}

fn drift_from_wire(drift: wire::Drift) -> Result<DriftReport> {
    at_most(&drift.fields, limits::REPORT_EXCEPTIONS, "drift fields")?;
    Ok(DriftReport {
        id: drift.id,
        app: id_from_wire(required(drift.app, "app id")?)?,
        key: key_from_wire(drift.key)?,
        version: drift.version,
        kind: match drift.kind.as_str() {
            "Changed" => DriftType::Changed,
            "Deleted" => DriftType::Deleted,
            "Contended" => DriftType::Contended,
            _ => return Err(ConvertError::Invalid("drift kind")),
        },
        detected: time(drift.detected_millis)?,
        manager: drift.manager,
        action: match drift.action.as_str() {
            "Reverted" => DriftAction::Reverted,
            "Reported" => DriftAction::Reported,
            _ => return Err(ConvertError::Invalid("drift action")),
        },
        restored_millis: drift.restored_millis,
        approximate: drift.approximate,
        fields: drift.fields.into_iter().map(field_from_wire).collect(),
    })
}

fn event_to_wire(event: EventReport) -> wire::Event {
    wire::Event {
        id: event.id,
        time_millis: event.time.as_millisecond(),
        kind: event.kind,
        message: event.message,
        app: event.app.map(id_to_wire),
        key: event.key.map(key_to_wire),
    }
}

fn event_from_wire(event: wire::Event) -> Result<EventReport> {
    Ok(EventReport {
        id: event.id,
        time: time(event.time_millis)?,
        kind: event.kind,
        message: event.message,
        app: event.app.map(id_from_wire).transpose()?,
        key: event.key.map(|key| key_from_wire(Some(key))).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_old_what_is_listed_is_comes_through() {
        let key = ObjectKey::new("", "ConfigMap", "a", "x");
        for as_of in [None, Some(Timestamp::UNIX_EPOCH)] {
            let object = ObjectReport {
                key: key.clone(),
                reason: "Unknown".into(),
                message: String::new(),
                managers: vec![],
                fields: vec![],
                listed: Some(Listed { interval_seconds: 60, as_of }),
            };
            assert_eq!(object_from_wire(object_to_wire(object.clone())), Ok(object));
            let lists = ListsReport { places: 2, interval_seconds: 60, as_of };
            let report = Report {
                boot_id: "b".into(),
                counter: 1,
                as_of: Timestamp::UNIX_EPOCH,
                plan: None,
                full: true,
                apps: vec![],
                cleared: vec![],
                unaccounted: vec![],
                holds: vec![],
                drift: vec![],
                events: vec![],
                lists: Some(Box::new(lists)),
            };
            assert_eq!(from_wire(to_wire(report.clone())), Ok(report));
        }
    }
}
