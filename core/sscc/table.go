package sscc

// Table is the state model of SS-CC, requirement part 10, as data. The officer
// region (CSP-ENTRY, ADMIN, LOCKED) and the serving region (all others) are
// separate state variables of Machine (S-33): a row that goes from one region
// to the other ends the first or changes the second.
// req: K-17.3-00, TK-05
var Table = []Transition{
	{"S-01", Off, EvInstall, GuardImageSigned, Factory, "no admin, no database"},
	{"S-02", Factory, EvFirstStart, GuardNone, SelfTest, "start pre-operational tests"},
	{"S-03", Off, EvLoad, GuardSetUp, SelfTest, "start pre-operational tests"},
	{"S-04", SelfTest, EvPass, GuardNoAdmin, Init, "only set-admin-password accepted"},
	{"S-05", SelfTest, EvPass, GuardAdminSet, Sealed, "store key absent from memory; peers refused"},
	{"S-06", SelfTest, EvFail, GuardNone, Error, "record code"},
	{"S-07", Init, EvSetPassword, GuardStrong, Sealed, "store key generated and wrapped"},
	{"S-08", Sealed, EvLogin, GuardNone, CSPEntry, "password entry"},
	{"S-09", CSPEntry, EvPasswordOk, GuardNone, Admin, "store key unwrapped; audit record"},
	{"S-10", CSPEntry, EvPasswordBad, GuardTriesLeft, CSPEntry, "delay; audit record"},
	{"S-11", CSPEntry, EvPasswordBad, GuardTriesGone, Locked, "audit record; serving continues if it ran before"},
	{"S-12", CSPEntry, EvCancel, GuardServed, Serving, "-"},
	{"S-13", CSPEntry, EvCancel, GuardSealed, Sealed, "-"},
	{"S-14", Admin, EvLogout, GuardStoreOpen, Serving, "officer rights dropped"},
	{"S-15", Admin, EvSeal, GuardNone, Sealed, "store key wiped"},
	{"S-16", Admin, EvDecommission, GuardConfirmed, EOL, "store key destroyed, all blobs unreadable"},
	{"S-17", Serving, EvLogin, GuardNone, CSPEntry, "password entry"},
	{"S-18", Serving, EvPeerRequest, GuardAuthenticated, Approved, "store / fetch / delete blob"},
	{"S-19", Approved, EvDone, GuardNone, Serving, "temporaries wiped"},
	{"S-20", Approved, EvSoftFail, GuardNone, Serving, "status code only"},
	{"S-21", Approved, EvHardFault, GuardNone, Error, "store key wiped"},
	{"S-22", Serving, EvSelfTestRequest, GuardNone, SelfTest, "peers answered 'busy'"},
	{"S-23", Serving, EvHardFault, GuardNone, Error, "store key wiped"},
	{"S-24", Admin, EvHardFault, GuardNone, Error, "store key wiped"},
	{"S-25", Locked, EvWaitOver, GuardServed, Serving, "counter per policy"},
	{"S-26", Locked, EvWaitOver, GuardSealed, Sealed, "counter per policy"},
	{"S-27", Error, EvReset, GuardNone, SelfTest, "-"},
	{"S-28", Error, EvUnload, GuardNone, Off, "-"},
	{"S-29", Sealed, EvUnload, GuardNone, Off, "-"},
	{"S-30", Serving, EvUnload, GuardNone, Off, "store key wiped"},
	{"S-31", EOL, EvUninstall, GuardNone, Off, "-"},
	{"S-32", Factory, EvUnload, GuardNone, Off, "keys wiped"},
	{"S-32", SelfTest, EvUnload, GuardNone, Off, "keys wiped"},
	{"S-32", Init, EvUnload, GuardNone, Off, "keys wiped"},
	{"S-32", CSPEntry, EvUnload, GuardNone, Off, "keys wiped"},
	{"S-32", Admin, EvUnload, GuardNone, Off, "keys wiped"},
	{"S-32", Approved, EvUnload, GuardNone, Off, "keys wiped"},
	{"S-32", Locked, EvUnload, GuardNone, Off, "keys wiped"},
}
