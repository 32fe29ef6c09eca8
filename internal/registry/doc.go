// Package registry keeps published models as folders, one a version, and says
// which of them is served. It is the only thing that passes from the night, which
// trains, to the day, which answers:
//
//	models/
//	  current                        the version served: its name and a newline
//	  history                        versions promoted so far, oldest first
//	  night.lease                    behind a bucket: the token of the last night from here
//	  lock                           held while current, history or a version is changed
//	  01JC3V9Z6J2T5W8Q4X7N1M0KRE/    a version, never changed once it has this name
//	    manifest.json                what it is, and size and SHA-256 of every file
//	    manifest.sha256              the SHA-256 of manifest.json
//	    weights.safetensors  vocab.txt  ...
//	  .tmp-01JC3VB.../               a draft; readers do not see it
//
// A writer calls [Registry.Begin], fills the [Draft] and calls [Draft.Publish],
// which syncs everything and renames the folder to its version; [Registry.Promote]
// then replaces current. A reader calls [Registry.Watch] and [Registry.Load];
// Load verifies every byte and refuses what it cannot verify, so that the
// reader goes on with what it has.
//
// What a crash can do, at any moment, power cuts included: leave a draft, which
// is swept later. A version has its name only after all of its bytes and its
// manifest are on disk, and current names either the old version or the new.
//
// With a [Mirror] the same lies in a bucket that many machines share. There
// [Registry.HoldNights] is the lock that lets one night at a time write: an object
// that its holder renews, since no system lets go of it when a process dies.
//
// Caveats. The file system must have atomic rename and honest fsync. Changing
// current needs flock, which network file systems may not have; readers need no
// lock and never write, so a read-only mount serves. The checksums find damage, not
// forgery: who can write the folder can also write its checksums.
//
// docs/format/version-folder.md holds the exact rules.
package registry
