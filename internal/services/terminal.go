package services

// TerminalStates are the states in which MST-CC answers calls. In SELFTEST,
// CSP-ENTRY and APPROVED a call waits until the service under way has ended.
func TerminalStates() []string {
	return []string{"OFF", "FACTORY", "INIT", "USER", "LOCKED", "ERROR", "EOL"}
}

// Terminal returns the services of MST-CC. An administrator has no credential
// there and is nobody.
func Terminal() []Service {
	at := func(answers ...string) map[string]string { return row(TerminalStates(), answers...) }
	// private is a service on the user's keys: PPD first, tries counted.
	private := at("state", "state", "state", Runs, "locked", "state", "state")
	return []Service{
		{"initialise", Table1, User, "K-10.2-02", "clause 7.1: make and seal the keys, upload them", at("state", Runs, Runs, "state", "state", "state", "state"), "canceled"},
		{"sign", Table1, User, "K-10.2-03", "clause 7.2, one message or a batch", private, "canceled"},
		{"verify", Table1, User, "K-10.2-04", "clause 7.3; without PPD under the policy `verify: open`", private, "canceled"},
		{"encrypt", Table1, NoRole, "K-10.2-05", "to a public key; no CSP is used, so nothing is asked", at("state", "state", "state", Runs, "state", "state", "state"), ""},
		{"decrypt", Table1, User, "K-10.2-06", "as sign, with the decryption key", private, "canceled"},
		{"show status", Basic, NoRole, "K-10.2-07", "state, tries, policy; no CSP, no P_M", at("state", Runs, Runs, Runs, Runs, Runs, Runs), ""},
		{"self-test", Basic, NoRole, "K-10.2-07", "all tests; a failure leads to ERROR, in ERROR a pass leads back", at("state", Runs, Runs, Runs, Runs, Runs, "state"), ""},
		{"zeroise", Basic, NoRole, "K-10.2-07", "erase every local record and secret", at(Runs, Runs, Runs, Runs, Runs, Runs, Runs), ""},
		{"change factors", Further, User, "K-17.1-D1", "another PIN, cost or policy, in one transaction", private, "canceled"},
		{"add recovery code", Further, User, "K-17.1-D1", "a second holder of the anchor, on paper", private, "canceled"},
		{"revoke", Further, User, "K-17.1-D1", "everything new but the user's key pairs", private, "canceled"},
		{"unbind", Further, User, "K-17.1-08", "end this device's binding", private, "canceled"},
		{"deregister", Further, User, "K-17.1-09", "cancel the user and end the module's life here", private, "canceled"},
	}
}
