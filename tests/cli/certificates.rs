//! An authority of its own for a test, and certificates of it.

use std::path::Path;
use std::process::Command;

use crate::support::tools;

/// Makes `ca.pem`, `server.pem` of this machine by its addresses, and `cert.pem` of a
/// client, with keys.
pub(crate) fn make(dir: &Path) {
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        tools::success(command.args(args.split(' ')).current_dir(dir));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -subj /CN=authority -days 2"));
    for (name, key_name, extension) in [
        ("server", "server-key", "subjectAltName=IP:127.0.0.1,IP:0.0.0.0"),
        ("cert", "key", "extendedKeyUsage=clientAuth"),
    ] {
        std::fs::write(dir.join("extension"), extension).expect("written");
        openssl(&format!("req {key} -keyout {key_name}.pem -out request -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in request -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 \
             -extfile extension -out {name}.pem"
        ));
    }
}
