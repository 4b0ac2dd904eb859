//! The hub's I/O against the real thing: Git servers, TLS, the disk. One binary,
//! because linking each of several costs more than running all.

mod enrolment;
mod flow;
mod forms;
mod preview;
mod rails;
mod session;
mod sources;
mod support;
mod untrusted;
