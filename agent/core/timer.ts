/** What setTimeout and setInterval give: a number, or in newer runtimes an object. */
export type Timer = ReturnType<typeof setTimeout>;
