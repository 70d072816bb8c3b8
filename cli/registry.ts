/** Every command of pilus: what help, completion and the parser know. Implementations load when they run. */

import { CHANGE } from "./commands/change.ts";
import { FOLLOW } from "./commands/follow.ts";
import { HELP } from "./commands/help.ts";
import { LOOK } from "./commands/look.ts";
import { ROLES } from "./commands/roles.ts";
import type { Command } from "./command.ts";

/** In the order of help. */
export const COMMANDS: readonly Command[] = [...ROLES, ...LOOK, ...FOLLOW, ...CHANGE, ...HELP];
