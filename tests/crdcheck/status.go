package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type health struct {
	Kstatus string `json:"kstatus"`
	Message string `json:"message"`
	Argo    string `json:"argo"`
}

// healthOfAll says of each object on the input, as the API server of this CRD hands it out, what kstatus and this health
// check of Argo CD make of it.
func healthOfAll(crd, script string) error {
	server, _, err := install(crd)
	if err != nil {
		return err
	}
	check, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		object, unknown, err := server.read(in.Text())
		if err != nil {
			return err
		}
		if len(unknown) > 0 {
			return fmt.Errorf("the CRD does not know %v", unknown)
		}
		seen, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			return err
		}
		argo, err := runHealthCheck(string(check), object)
		if err != nil {
			return err
		}
		if err := out.Encode(health{string(seen.Status), seen.Message, argo}); err != nil {
			return err
		}
	}
	return in.Err()
}

// runHealthCheck runs the script as Argo CD does: the object is the global obj, and the script returns a table.
func runHealthCheck(script string, object map[string]interface{}) (string, error) {
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		return "", err
	}
	answer, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return "", fmt.Errorf("the health check returns %s, not a table", state.Get(-1).Type())
	}
	return lua.LVAsString(answer.RawGetString("status")), nil
}

func toLua(state *lua.LState, value interface{}) lua.LValue {
	switch value := value.(type) {
	case map[string]interface{}:
		table := state.NewTable()
		for name, member := range value {
			table.RawSetString(name, toLua(state, member))
		}
		return table
	case []interface{}:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	}
	return lua.LNil
}
