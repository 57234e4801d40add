package services

// NoCall marks a cell no caller of the role can reach: the component has no
// interface for it.
const NoCall = "-"

// ServerStates are the states in which SS-CC answers calls. CSP-ENTRY and ADMIN
// are the administrator's login and session beside SEALED or SERVING; SELFTEST
// answers nobody.
func ServerStates() []string {
	return []string{"OFF", "INIT", "SEALED", "SERVING", "ERROR", "EOL"}
}

// Server returns the services of SS-CC. The user is there as the bound and
// authenticated terminal.
func Server() []Service {
	at := func(answers ...string) map[string]string { return row(ServerStates(), answers...) }
	admin := at("state", "state", "state", Runs, "state", "state")
	peer := at("state", "state", "state", Runs, "state", "state")
	sv := []Service{
		{"initialise", Table1, Administrator, "K-10.2-01", "set the first password, which makes the keys and the database", at("state", Runs, "state", "state", "state", "state"), NoCall},
		{"show status", Basic, NoRole, "K-10.2-07", "state, realm, identity key", at(Runs, Runs, Runs, Runs, Runs, Runs), ""},
		{"self-test", Basic, NoRole, "K-10.2-07", "on demand at the server; peers wait", at("state", "state", "state", Runs, "state", "state"), ""},
		{"reset", Basic, NoRole, "K-10.2-07", "from ERROR through the tests to SEALED", at("state", "state", "state", "state", Runs, "state"), ""},
		{"decommission", Basic, Administrator, "K-10.2-07", "zeroise: the key ring is destroyed, no record opens again", admin, "auth"},
		{"log in", Further, Administrator, "K-10.3-01", "password; opens the keys of a sealed SS-CC", at("state", "state", Runs, Runs, "state", "state"), "auth"},
	}
	for _, s := range [][3]string{
		{"seal", "K-10.3-01", "wipe the keys, serve nobody"},
		{"change password", "K-10.3-01", "and the other ways to open the root key"},
		{"rotate keys", "K-10.1-02", "a new store key for every record"},
		{"create app", "K-17.1-05", "an app id with its limit"},
		{"list apps", "K-10.1-02", ""},
		{"revoke app", "K-17.1-10", "refuse every terminal of the app"},
		{"make ticket", "K-17.1-05", "the one-time package that enrols a terminal"},
		{"list devices", "K-10.1-02", ""},
		{"revoke device", "K-17.1-08", "refuse one terminal"},
		{"list users", "K-10.1-02", ""},
		{"find user", "K-10.1-02", ""},
		{"lock user", "K-10.1-02", ""},
		{"unlock user", "K-10.1-02", "give the tries back, once asked for"},
		{"remove user", "K-17.1-08b", "cancel a user; the record is destroyed, the terminal's life ends"},
		{"unbind user", "K-17.1-08", "the record is destroyed, the terminal may hold a new user"},
		{"describe", "K-10.1-02", "counts, versions, what opens the root key"},
		{"read audit log", "G-7.6-04", ""},
		{"verify audit log", "G-7.6-04", ""},
	} {
		sv = append(sv, Service{s[0], Further, Administrator, s[1], s[2], admin, "auth"})
	}
	for _, s := range [][3]string{
		{"fetch policy", "K-7.2-03", "the public policy, before PPD is asked for"},
		{"fetch sealed keys", "K-7.2-04", "counted as a try; hardened mode: evaluate"},
		{"prepare", "K-7.1-08", "hand over a new record; a commit follows"},
		{"ask standing", "K-17.1-10", "why the own terminal is refused: app revoked, user unbound or removed"},
		{"ask tries", "K-10.2-07", "tries, lock, pending change of the own user"},
		{"unbind or deregister", "K-17.1-08", "drop the own record, proved by the confirm key"},
	} {
		sv = append(sv, Service{s[0], Further, User, s[1], s[2], peer, "refused"})
	}
	return sv
}
