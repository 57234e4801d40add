package services

// A Port is a logical interface of GM/T 0028 7.3.2.
type Port string

// The logical interfaces. There is no control output but the fetch MST-CC sends
// to SS-CC, and no power interface of a software module.
const (
	DataIn     Port = "data in"
	DataOut    Port = "data out"
	ControlIn  Port = "control in"
	ControlOut Port = "control out"
	StatusOut  Port = "status out"
)

// A Call is one entry of an interface and the ports it uses.
type Call struct {
	Name  string // method, or service/method of a gRPC service
	Ports []Port
}

func calls(ports []Port, names ...string) (out []Call) {
	for _, n := range names {
		out = append(out, Call{n, ports})
	}
	return out
}

func join(parts ...[]Call) (out []Call) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

var (
	data    = []Port{DataIn, ControlIn, DataOut, StatusOut}
	control = []Port{ControlIn, StatusOut}
	status  = []Port{StatusOut}
)

// API returns the calls of the app's interface, client.Client.
// req: K-9.1-01, G-7.3-01
func API() []Call {
	return join(
		calls(data, "Sign", "SignBatch", "Verify", "Encrypt", "Decrypt", "Signer", "Initialize", "Recover", "CreateRecovery", "Revoke"),
		calls(control, "Change", "Unbind", "Deregister", "ClearTries", "SelfTest", "ReloadPlugins", "Close"),
		calls(status, "Status", "State", "Binding", "User", "Policy", "PlanChange", "PlanRemoval"),
	)
}

// Wire returns the gRPC methods between the parts of the module.
// req: K-9.1-01, G-7.3-01
func Wire() []Call {
	link := []Port{DataIn, DataOut, ControlIn, ControlOut, StatusOut}
	return join(
		calls(link, "Session/Exchange", "Session/Call"),
		calls(control, "Enrolment/Challenge", "Enrolment/Enrol"),
		calls(status, "Info/Info"),
		calls(control, "Admin/Login", "Admin/Logout", "Admin/Unseal", "Admin/Seal", "Admin/CreateApp", "Admin/RevokeApp", "Admin/NewTicket",
			"Admin/RevokeDevice", "Admin/UnlockUser", "Admin/LockUser", "Admin/RemoveUser", "Admin/UnbindUser", "Admin/Rotate"),
		calls(status, "Admin/Apps", "Admin/Devices", "Admin/Users", "Admin/FindUser", "Admin/Describe", "Admin/AuditPage", "Admin/VerifyAudit"),
		calls(status, "Control/Describe"),
		calls(control, "Control/KeyAgreement", "Control/Establish"),
		calls(data, "Source/Enroll", "Source/Collect", "Sensor/Sample", "KDF/Derive"),
		calls(control, "Source/Configure", "Sensor/Configure", "Backend/Configure", "Backend/RaiseFence", "Backend/Close", "KDF/Calibrate", "KDF/Validate"),
		calls(status, "Source/Describe", "Sensor/Describe", "KDF/Describe", "Backend/Describe", "Backend/Health", "Backend/Watch"),
		calls(data, "Backend/GetMany", "Backend/CommitMany", "Backend/Scan", "Backend/Export", "Backend/Import"),
	)
}
