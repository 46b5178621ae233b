-- The health of an AgentPlan for Argo CD: member resource.customizations.health.shoal.dev_AgentPlan of the ConfigMap
-- argocd-cm. It is Suspended while the plan is paused, and Progressing until the operator has seen the newest generation.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local function health(word, name)
  return {status = word, message = conditions[name] and conditions[name].message or "waiting for the operator"}
end

if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "")
elseif holds("Stalled") then
  return health("Degraded", "Stalled")
elseif holds("Paused") then
  return health("Suspended", "Paused")
elseif holds("Reconciling") then
  return health("Progressing", "Reconciling")
elseif holds("Ready") then
  return health("Healthy", "Ready")
end
return health("Progressing", "Ready")
