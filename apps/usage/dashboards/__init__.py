"""Where the money goes: spend over time, who moved, what a thousand requests cost."""
